'use strict'
// The live set, whenever it changes: as 'change' events, or as an async iterator that gives the
// newest set and skips those that nobody was there to take.
const { EventEmitter } = require('node:events')
const binding = require('./binding')
const { readMembers } = require('./members')

class Watch extends EventEmitter {
  #client
  #asked // the addon's client: both live as long as their watch
  #native
  #isReading = false
  #next // the newest list that came meanwhile
  #latest // the newest set that the iterator has not given
  #waiting = [] // who iterates

  constructor(client, asked, start) {
    super()
    this.#client = client
    this.#asked = asked
    this.#native = start((error, list) => {
      if (error) {
        this.#tellError(error)
      } else {
        this.#take(list)
      }
    })
  }

  get client() {
    return this.#client
  }

  // A long list is read in turns. What comes meanwhile is read next, and of several the newest.
  #take(list) {
    if (this.#isReading) {
      this.#next = list
      return
    }
    this.#isReading = true
    readMembers(list, false, (_, members) => {
      const next = this.#next
      this.#next = undefined
      this.#isReading = false
      try {
        if (this.#native !== null) {
          this.#tell(members)
        }
      } finally {
        if (next) {
          this.#take(next)
        }
      }
    })
  }

  #tell(members) {
    this.members = members
    const taker = this.#waiting.shift()
    if (taker) {
      taker({ value: members, done: false })
    } else {
      this.#latest = members
    }
    this.emit('change', members)
  }

  // The last set stays true; a store that fails ends no process that did not ask to hear of it.
  #tellError(error) {
    if (this.listenerCount('error') > 0) {
      this.emit('error', error)
    }
  }

  close() {
    if (this.#native) {
      binding.watchStop(this.#native)
      this.#native = null
      this.#waiting.splice(0).forEach((taker) => taker({ value: undefined, done: true }))
      this.emit('close')
    }
  }

  next() {
    if (this.#latest) {
      const value = this.#latest
      this.#latest = undefined
      return Promise.resolve({ value, done: false })
    }
    if (!this.#native) {
      return Promise.resolve({ value: undefined, done: true })
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(value) {
    this.close()
    return Promise.resolve({ value, done: true })
  }

  [Symbol.asyncIterator]() {
    return this
  }
}

module.exports = Watch
