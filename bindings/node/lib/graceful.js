'use strict'
// Leaves without losing a request: others are given time to hear that the member is leaving, the
// server takes no new connections, those that are open may finish, and then the member stops.
const { setTimeout: wait } = require('node:timers/promises')

const DELAY_MS = 5 * 1000
const TIMEOUT_MS = 30 * 1000

// What is answered from now on is the last answer on its connection, so that those who keep
// connections open go elsewhere while nobody has to hang up on them.
function closeAfterAnswers(server) {
  server.prependListener('request', (req, res) => {
    if (!res.headersSent) {
      res.setHeader('Connection', 'close')
    }
  })
}

async function close(server, timeout) {
  const closed = new Promise((resolve) => server.close(() => resolve()))
  server.closeIdleConnections?.()
  const timer = setTimeout(() => server.closeAllConnections?.(), timeout)
  await closed
  clearTimeout(timer)
}

// `server` is an http.Server, or has one as its `server`, as fastify does. Resolves when it is
// closed; then nothing of this keeps the process alive.
function gracefulShutdown(server, member, { delay = DELAY_MS, timeout = TIMEOUT_MS, signals = [] } = {}) {
  const listening = server.server ?? server
  return new Promise((resolve) => {
    let hasBegun = false
    async function leave() {
      if (hasBegun) {
        return
      }
      hasBegun = true
      closeAfterAnswers(listening)
      await wait(delay)
      await close(listening, timeout)
      member.stop()
      resolve()
    }
    member.once('shutdown', leave)
    for (const signal of signals) {
      // A store that does not answer does not keep the process from leaving.
      process.once(signal, () => {
        const told = member.reportDead().catch(() => {})
        Promise.race([told, wait(DELAY_MS, undefined, { ref: false })]).then(leave)
      })
    }
  })
}

module.exports = gracefulShutdown
