'use strict'
// A callback where one is given, else a promise.
const { AsyncResource } = require('node:async_hooks')

// Calls may be made and forgotten: a failure that nobody has asked for by the next turn of the event
// loop is a warning, and ends no process. Whoever waits for it gets it as of any other promise.
class Outcome extends Promise {
  #isTaken = false

  static get [Symbol.species]() {
    return Promise
  }

  // `start` is as below.
  static of(start) {
    let settle
    const outcome = new Outcome((resolve, reject) => { settle = { resolve, reject } })
    Promise.prototype.then.call(outcome, undefined, (error) => setImmediate(() => outcome.#tell(error)))
    try {
      start((error, value) => error ? settle.reject(error) : settle.resolve(value))
    } catch (error) {
      settle.reject(error)
    }
    return outcome
  }

  #tell(error) {
    if (!this.#isTaken) {
      process.emitWarning(error.message, { type: 'ComradeWarning', code: error.code })
    }
  }

  then(...functions) {
    this.#isTaken = true
    return super.then(...functions)
  }
}

// `start(done)` begins something that calls done(error, value) once, or throws.
function callbackOrPromise(callback, start) {
  if (typeof callback !== 'function') {
    return Outcome.of(start)
  }
  const done = AsyncResource.bind(callback)
  try {
    start(done)
  } catch (error) {
    process.nextTick(done, error)
  }
}

module.exports = callbackOrPromise
