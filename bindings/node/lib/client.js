'use strict'
// Looks at the members of a cluster, and asks things of them.
const binding = require('./binding')
const callbackOrPromise = require('./callback')
const { baseOf, callable } = require('./callable')
const checkHealth = require('./health-check')
const Member = require('./member')
const Watch = require('./watch')
const { queryOf, requestOptionsOf } = require('./query')
const { readMembers } = require('./members')
const { openCluster, placeOf } = require('./store')

const MIN_MEMBERS_MAX = 1000000 // the library's

// Any number, as the original took it: what no number of members exceeds forbids every kill.
function minimumOf(number) {
  return Number.isNaN(number) ? MIN_MEMBERS_MAX : Math.min(Math.max(Math.trunc(number), 0), MIN_MEMBERS_MAX)
}

function minimumsOf(roles) {
  return Object.entries(roles)
    .filter(([, role]) => typeof role?.minMembers === 'number')
    .flatMap(([name, role]) => [name, minimumOf(role.minMembers)])
}

// What is written for everybody is not guessed.
function mustBeMinimum(number) {
  if (!Number.isInteger(number) || number < 0 || number > MIN_MEMBERS_MAX) {
    throw Object.assign(new Error(`minMembers must be null or an integer from 0 to ${MIN_MEMBERS_MAX}`),
      { code: 'INVALID' })
  }
  return number
}

function mustNameRole(options) {
  if (!options?.role) {
    throw Object.assign(new Error('You must set a role'), { code: 'INVALID' })
  }
}

class Client extends baseOf(Object) {
  #place
  #options
  #cluster
  #native
  #made // of what the native one was made

  constructor(options = {}, receiver) {
    super(receiver)
    this.#place = placeOf(options)
    this.#options = options
    this.googleDataset = options.googleDataset
    this.googleDatasetNamespace = options.googleDatasetNamespace
    this.googleDatasetKind = options.googleDatasetKind || 'ComradeServer'
    if (options.healthCheck) {
      this.healthCheck = options.healthCheck
    }
    this.roles = options.roles || {}
    this.#cluster = openCluster(options)
  }

  // Made by the first call, and anew when `roles` or `healthCheck` have changed since: they are looked
  // at by each call, as the original did. What is under way goes on with what it began with.
  #need() {
    const isOwn = this.healthCheck !== Client.prototype.healthCheck
    const minimums = minimumsOf(this.roles)
    const made = JSON.stringify([isOwn, minimums])
    if (this.#made !== made) {
      const own = new WeakRef(this)
      const check = (asked, text) => checkHealth(own.deref(), asked, JSON.parse(text))
      this.#native = binding.clientNew(this.#cluster, minimums, isOwn ? check : null,
        this.#options.healthCheckTimeout, this.#options.healthCheckConcurrency)
      this.#made = made
    }
    return this.#native
  }

  // The rule where no other is given; the store's clock has decided.
  healthCheck(memberData, callback) {
    callback(memberData.healthy)
  }

  createMember(options) {
    return new Member({ ...options, ...this.#place })
  }

  getMembers(options, callback) {
    if (typeof options === 'function') {
      return this.getMembers({}, options)
    }
    return this.#list(callback, options, (done) => {
      binding.clientGetMembers(this.#need(), queryOf(options), done)
    })
  }

  // `start` is told of a list; the caller gets its members, or what `pick` makes of them.
  #list(callback, options, start, pick = (members) => members) {
    return callbackOrPromise(callback, (done) => start((error, list) => {
      if (error) {
        done(error)
      } else {
        readMembers(list, options?.details === true, (_, members) => done(null, pick(members)))
      }
    }))
  }

  killMember(id, options, callback) {
    if (typeof options === 'function') {
      return this.killMember(id, undefined, options)
    }
    return this.#list(callback, options, (done) => {
      binding.clientKill(this.#need(), id, requestOptionsOf(options), done)
    }, first)
  }

  restartMember(id, options, callback) {
    if (typeof options === 'function') {
      return this.restartMember(id, undefined, options)
    }
    return this.#list(callback, options, (done) => {
      binding.clientRestart(this.#need(), id, requestOptionsOf(options), done)
    }, first)
  }

  zombifyMember(id, options, callback) {
    if (typeof options === 'function') {
      return this.zombifyMember(id, undefined, options)
    }
    return this.#list(callback, options, (done) => {
      binding.clientZombify(this.#need(), id, requestOptionsOf(options), done)
    }, first)
  }

  // The member that was asked; null where the minimum, or that there is none, forbids it.
  killOldestMember(options, callback) {
    return callbackOrPromise(callback, (done) => {
      mustNameRole(options)
      binding.clientKillOldest(this.#need(), queryOf(options), requestOptionsOf(options), (error, list) => {
        const isNobody = error && (error.code === 'REFUSED' || error.code === 'NOT_FOUND')
        if (isNobody && !options.strict) {
          done(null, null)
        } else if (error) {
          done(error)
        } else {
          readMembers(list, options.details === true, (_, members) => done(null, first(members)))
        }
      })
    })
  }

  rollingKill(options, callback) {
    return this.#list(callback, options, (done) => {
      mustNameRole(options)
      binding.clientRollingKill(this.#need(), queryOf(options), requestOptionsOf(options), done)
    })
  }

  clearStaleMembers(callback) {
    return this.#list(callback, undefined, (done) => binding.clientClearStale(this.#need(), done))
  }

  getRole(role, callback) {
    return callbackOrPromise(callback, (done) => {
      binding.clientGetRole(this.#need(), role, (error, _, minMembers, available) => {
        done(error, error ? undefined : { role, minMembers: minMembers < 0 ? null : minMembers, available })
      })
    })
  }

  // The minimum for everybody; null: nobody says anything again.
  setRole(role, { minMembers } = {}, callback) {
    return callbackOrPromise(callback, (done) => {
      const minimum = minMembers === null ? -1 : mustBeMinimum(minMembers)
      binding.clientSetRole(this.#need(), role, minimum, (error) => done(error))
    })
  }

  watch(options) {
    const native = this.#need()
    return new Watch(this, native, (onChange) => binding.watchStart(native, queryOf(options), onChange))
  }
}

function first(members) {
  return members[0] ?? null
}

module.exports = callable(Client)
