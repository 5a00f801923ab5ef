'use strict'
// A callback where one is given, else a promise.
const { AsyncResource } = require('node:async_hooks')

// `start(done)` begins something that calls done(error, value) once, or throws.
function callbackOrPromise(callback, start) {
  if (typeof callback !== 'function') {
    return new Promise((resolve, reject) => {
      start((error, value) => error ? reject(error) : resolve(value))
    })
  }
  const done = AsyncResource.bind(callback)
  try {
    start(done)
  } catch (error) {
    process.nextTick(done, error)
  }
}

module.exports = callbackOrPromise
