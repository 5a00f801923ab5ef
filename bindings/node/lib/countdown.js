'use strict'
// What a member does on a request that nobody listens for: the process leaves, a minute later.

// By the clock that nobody sets, from when the request was heard.
function countDown(delay) {
  const started = performance.now()
  setInterval(() => {
    const left = delay - (performance.now() - started)
    if (left <= 0) {
      process.exit()
    }
    console.log(`comrade: asked to shut down, and nobody listens for it; exiting in ${Math.ceil(left / 1000)} s`)
  }, Math.min(1000, delay))
}

module.exports = countDown
