'use strict'
// The store that a Google client object is for: a Datastore of @google-cloud/datastore, or a dataset
// of the gcloud module that came before it. Only what says where and who is read; ours calls Google
// by itself.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const GOOGLE_HOSTS = ['datastore.googleapis.com', 'www.googleapis.com']

// --- Who ---

const keptFiles = new Map() // contents to names

// The library reads credentials from a file. What was given as an object is written to one without a
// name, which ends with the process and which nobody else can open.
function fileOf(credentials) {
  const text = JSON.stringify({ type: 'service_account', ...credentials })
  if (!keptFiles.has(text)) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'comrade-'))
    const file = path.join(folder, 'credentials.json')
    const fd = fs.openSync(file, 'wx+', 0o600)
    fs.rmSync(folder, { recursive: true })
    fs.writeSync(fd, text)
    keptFiles.set(text, `/proc/self/fd/${fd}`)
  }
  return keptFiles.get(text)
}

// Where the various versions keep what they were made with.
function settingsOf(dataset) {
  const config = (dataset.makeAuthenticatedRequest_?.authClient ?? dataset.authClient)?.config
  return { ...config, ...dataset.options }
}

function credentialsOf(dataset) {
  const { credentials, keyFilename, keyFile } = settingsOf(dataset)
  const inline = credentials ?? dataset.auth?.jsonContent
  const file = keyFilename ?? keyFile ?? dataset.auth?.keyFilename
  return inline ? fileOf(inline) : file && path.resolve(file)
}

// --- Where ---

// A key names the project it was made in. One that cannot be read is told of when it is used.
function projectOfKey(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')).project_id
  } catch {
    return undefined
  }
}

function projectOf(dataset) {
  const { projectId, credentials } = settingsOf(dataset)
  const isNamed = (id) => typeof id === 'string' && id !== '' && !id.includes('{{')
  const known = [dataset.projectId, projectId, credentials?.project_id, process.env.DATASTORE_PROJECT_ID,
    process.env.GOOGLE_CLOUD_PROJECT, process.env.GCLOUD_PROJECT]
  const project = known.find(isNamed) ??
    [credentialsOf(dataset) ?? process.env.GOOGLE_APPLICATION_CREDENTIALS].map(projectOfKey).find(isNamed)
  if (!project) {
    throw Object.assign(new Error('googleDataset names no project; give its projectId, or set GOOGLE_CLOUD_PROJECT'),
      { code: 'INVALID' })
  }
  return project
}

// undefined: Google's own, or the emulator that the environment names.
function endpointOf(dataset) {
  const named = settingsOf(dataset).apiEndpoint ?? dataset.apiEndpoint
  const found = named ?? (dataset.customEndpoint_ && dataset.baseUrl_ && `${dataset.baseUrl_}:${dataset.port_ ?? 80}`)
  if (!found) {
    return undefined
  }
  const url = new URL(/^https?:/.test(found) ? found : `${isGoogles(found) ? 'https' : 'http'}://${found}`)
  const isDefault = GOOGLE_HOSTS.includes(url.hostname) || url.host === process.env.DATASTORE_EMULATOR_HOST
  return isDefault ? undefined : url.origin
}

function isGoogles(host) {
  return /\.googleapis\.com(:|\/|$)/.test(host)
}

// {url, namespace}: what is not said there is the library's default. A program that has a module which
// makes its dataset may let that name another store, by its URL.
function placeOfDataset(dataset) {
  if (typeof dataset === 'string') {
    return { url: dataset }
  }
  const database = settingsOf(dataset).databaseId
  const endpoint = endpointOf(dataset)
  const credentials = endpoint?.startsWith('http:') ? undefined : credentialsOf(dataset)
  const parameters = Object.entries({ credentials, endpoint })
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const query = parameters.length > 0 ? `?${parameters.join('&')}` : ''
  return {
    url: `datastore://${encodeURIComponent(projectOf(dataset))}${database ? `/${encodeURIComponent(database)}` : ''}${query}`,
    namespace: dataset.namespace ?? settingsOf(dataset).namespace
  }
}

module.exports = placeOfDataset
