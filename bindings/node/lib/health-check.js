'use strict'
// Runs a client's own health check: with a callback, as an async function, or answering at once.
const binding = require('./binding')

function checkHealth(client, asked, memberData) {
  const answer = (isHealthy) => binding.healthCheckAnswer(asked, Boolean(isHealthy))
  let result
  try {
    result = client.healthCheck(memberData, answer)
  } catch (error) {
    answer(false)
    return
  }
  // A check that has taken the callback answers by it, whatever it returns; one that is wrapped does
  // not show that it has, and what it returns may be a request that is under way.
  const usesCallback = client.healthCheck.length >= 2
  if (typeof result?.then === 'function') {
    result.then((isHealthy) => usesCallback || answer(isHealthy), () => answer(false))
  } else if (!usesCallback && typeof result === 'boolean') {
    answer(result)
  }
}

module.exports = checkHealth
