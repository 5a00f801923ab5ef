'use strict'
// One running instance of a service, as it tells the others of itself.
const { EventEmitter } = require('node:events')
const binding = require('./binding')
const callbackOrPromise = require('./callback')
const { baseOf, callable } = require('./callable')
const countDown = require('./countdown')
const requestOf = require('./request')
const { readMembers } = require('./members')
const { openCluster } = require('./store')

const EXIT_DELAY_MS = 60 * 1000

const SAVE_TIMEOUT_MS = 15 * 1000

// As in the original, what holds nothing is no metadata.
function textOf(metadata) {
  const isNothing = !metadata || (Array.isArray(metadata) && metadata.length === 0)
  return isNothing ? '{}' : JSON.stringify(metadata)
}

// `done`, once; it is told so when it has not been called in time.
function inTime(done) {
  let isOver = false
  const finish = (error) => {
    clearTimeout(timer)
    if (!isOver) {
      isOver = true
      done(error)
    }
  }
  const timer = setTimeout(() => finish(Object.assign(
    new Error('the store has not answered in time; the record is written as soon as it does'),
    { code: 'TIMED_OUT' })), SAVE_TIMEOUT_MS)
  return finish
}

class Member extends baseOf(EventEmitter) {
  #cluster
  #native
  #client // asks for what a member that is not running cannot write itself
  #isRunning = false
  #exitDelay
  #registered // of the promise that start() returns
  #saves = [] // of before the start and after the stop: one after the other, and the start after them

  constructor(options = {}, receiver) {
    super(receiver)
    if (!options.role) {
      throw Object.assign(new Error('You must set a role'), { code: 'INVALID' })
    }
    this.id = options.id ? String(options.id) : undefined
    this.role = options.role
    this.metadata = options.metadata
    this.created = Date.now()
    this.alive = true
    this.#exitDelay = options.exitDelay ?? EXIT_DELAY_MS
    this.#cluster = openCluster(options)
    this.#native = this.#create()
    this.id = binding.memberId(this.#native) // a UUID where none was given
  }

  #create() {
    return binding.memberNew(this.#cluster, this.role, this.id, textOf(this.metadata))
  }

  // Registers, however long it takes, and heartbeats. The promise is there for those who want it: it
  // is rejected when the member is over before others could see it, and need not be waited for.
  start() {
    if (this.started) {
      return this.#registered.promise
    }
    this.#native = this.#create() // with what the metadata has become
    this.started = true
    this.#registered = {}
    this.#registered.promise = new Promise((resolve, reject) => {
      Object.assign(this.#registered, { resolve, reject })
    })
    this.#registered.promise.catch(() => {})
    this.#isRunning = true
    if (this.#isActive()) {
      this.#run()
    }
    return this.#registered.promise
  }

  #run() {
    binding.memberStart(this.#native, (...event) => this.#onEvent(...event))
  }

  // The heartbeats end; the record stays, and others will see it grow old.
  stop() {
    this.#isRunning = false
    binding.memberStop(this.#native)
    this.#registered?.reject(Object.assign(new Error('the member was stopped'), { code: 'CANCELED' }))
  }

  // --- Events ---

  #onEvent(name, error, text) {
    switch (name) {
      case 'registered':
        this.#registered.resolve()
        this.emit('registered')
        break
      case 'shutdown':
      case 'restart':
        this.#onAsked(name, JSON.parse(text))
        break
      case 'fenced':
        this.#end(new Error(`another process has taken over the id ${this.id}`), 'FENCED')
        this.emit('fenced')
        break
      case 'inUse':
        this.#end(error, error.code)
        this.#tellError(error)
        break
      case 'error':
        this.#tellError(error)
        break
      case 'zombified':
        this.alive = false
        this.emit('zombified')
        break
      default:
        this.emit(name)
    }
  }

  // It goes on heartbeating while it drains, so that nobody takes it for crashed; but it keeps the
  // process alive no longer. Who does not listen for a restart leaves, and is started by whoever
  // starts it; a kill that follows tells such a one nothing new.
  #onAsked(name, data) {
    this.alive = false
    this.shutdownDate = data.shutdownDate
    binding.memberUnref(this.#native)
    if (name === 'restart' && this.listenerCount('restart') > 0) {
      this.emit('restart', requestOf(data.request))
    } else if (!this.shutdownEmitted) {
      this.#shutDown(requestOf(data.request))
    }
  }

  #shutDown(request) {
    this.shutdownEmitted = true
    if (this.listenerCount('shutdown') === 0) {
      this.killProcess = true
      countDown(this.#exitDelay)
    }
    this.emit('shutdown', request)
  }

  #end(error, code) {
    this.#isRunning = false
    binding.memberUnref(this.#native)
    this.#registered.reject(Object.assign(error, { code }))
  }

  // A store that fails ends no process that did not ask to hear of it.
  #tellError(error) {
    if (this.listenerCount('error') > 0) {
      this.emit('error', error)
    } else {
      process.emitWarning(`member ${this.id}: ${error.message}`, { type: 'ComradeWarning', code: error.code })
    }
  }

  // --- Calls ---

  // Reads the record back; undefined where there is none.
  fetch(callback) {
    return callbackOrPromise(callback, (done) => {
      binding.memberFetch(this.#native, (error, list) => {
        if (error) {
          error.code === 'NOT_FOUND' ? done(null, undefined) : done(error)
        } else {
          readMembers(list, false, (_, members) => done(null, members[0]))
        }
      })
    })
  }

  // Writes what the member says of itself: whether it is alive, and its metadata.
  save(callback) {
    return callbackOrPromise(callback, (done) => this.#save(done))
  }

  #save(done) {
    this.updated = Date.now()
    if (this.#isActive()) {
      binding.memberReport(this.#native, this.alive, textOf(this.metadata), inTime(done))
      return
    }
    // By a member that starts for this alone: one id is not started twice at once.
    const once = this.#create()
    const { alive } = this
    this.#saves.push(() => this.#saveBy(once, alive, done))
    if (this.#saves.length === 1) {
      this.#saves[0]()
    }
  }

  #isActive() {
    return this.#isRunning && this.#saves.length === 0
  }

  #saveBy(once, alive, done) {
    let isOver = false
    const finish = (error) => {
      if (!isOver) {
        isOver = true
        binding.memberStop(once)
        this.#saves.shift()
        this.#goOn()
        done(error)
      }
    }
    binding.memberStart(once, (name, error) => error && finish(error))
    binding.memberReport(once, alive, undefined, finish)
  }

  #goOn() {
    if (this.#saves.length > 0) {
      this.#saves[0]()
    } else if (this.#isRunning) {
      this.#run()
    }
  }

  // A heartbeat now.
  update(callback) {
    return callbackOrPromise(callback, (done) => {
      if (!this.#isActive()) {
        this.#save(done)
        return
      }
      this.updated = Date.now()
      binding.memberUpdate(this.#native, (error) => done(error))
    })
  }

  // Tells others to leave it alone.
  reportDead(callback) {
    this.alive = false
    return callbackOrPromise(callback, (done) => {
      if (this.#isActive()) {
        binding.memberReport(this.#native, false, undefined, (error) => done(error))
        return
      }
      this.#client ??= binding.clientNew(this.#cluster, [], null)
      binding.clientZombify(this.#client, this.id, {}, (error) => done(error))
    })
  }
}

module.exports = callable(Member)
