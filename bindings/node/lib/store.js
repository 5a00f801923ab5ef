'use strict'
// Which store, of which namespace and kind, the options name; and the one cluster that all share who
// name the same.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const binding = require('./binding')
const placeOfDataset = require('./google-dataset')

// A service whose event loop was blocked for so long does not serve; its members heartbeat no more.
const BLOCKED_LIMIT_MS = 30 * 1000

// Where the programs of this machine keep it, so that they meet; the same as the `comrade` program's.
function embeddedStore() {
  const state = process.env.XDG_STATE_HOME
  const base = process.geteuid() === 0
    ? '/var/lib'
    : state && path.isAbsolute(state) ? state : path.join(os.homedir(), '.local', 'state')
  const folder = path.join(base, 'comrade')
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  return `sqlite:${path.join(folder, 'comrade.db')}`
}

function storeOf(options) {
  if (options.store) {
    return { url: String(options.store) }
  }
  if (options.googleDataset) {
    return placeOfDataset(options.googleDataset)
  }
  return { url: process.env.COMRADE_STORE || embeddedStore() }
}

// What of the options says where; a client's members are given it whole.
function placeOf(options) {
  const { store, googleDataset, googleDatasetNamespace, googleDatasetKind, namespace, kind,
    heartbeat, callTimeout, blockedLimit } = options
  return {
    store, googleDataset, googleDatasetNamespace, googleDatasetKind, namespace, kind, heartbeat, callTimeout,
    blockedLimit
  }
}

// To add a driver: a row here, and one in scripts/build.js. What it needs to be loaded, and to be built.
const DRIVER_PACKAGES = {
  postgres: { run: 'libpq5', build: 'libpq-dev' },
  postgresql: { run: 'libpq5', build: 'libpq-dev' },
  datastore: { run: 'libcurl4', build: 'libcurl4-openssl-dev libssl-dev' }
}

// Of a driver that cannot be had: what to install.
function withAdvice(error, url) {
  const packages = error.code === 'UNSUPPORTED' && DRIVER_PACKAGES[url.slice(0, url.indexOf(':'))]
  if (packages && /cannot be loaded/.test(error.message)) {
    error.message += `; install what it needs: apt-get install ${packages.run}`
  } else if (packages) {
    error.message = `comrade: the addon was built without the driver for ${url.slice(0, url.indexOf(':'))}:; ` +
      `install what it needs, and build it again: apt-get install ${packages.build} && ` +
      'npm rebuild comrade --build-from-source'
  }
  return error
}

function openCluster(options) {
  const { url, namespace } = storeOf(options)
  const values = [
    url,
    options.googleDatasetNamespace || options.namespace || namespace || undefined,
    options.googleDatasetKind || options.kind || 'ComradeServer',
    options.heartbeat,
    options.callTimeout,
    options.blockedLimit ?? BLOCKED_LIMIT_MS
  ]
  try {
    return binding.clusterOpen(JSON.stringify(values), ...values)
  } catch (error) {
    throw withAdvice(error, values[0])
  }
}

module.exports = { openCluster, placeOf }
