'use strict'
// The store that a Google client object names.
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { it } = require('node:test')
const { Datastore } = require('@google-cloud/datastore')
const Dataset = require('gcloud/lib/datastore/dataset')
const { freshFolder } = require('./lib/comrade')
const placeOfDataset = require('../lib/google-dataset')

const key = { client_email: 'a@b', private_key: 'secret' }
const none = { namespace: undefined }

it('takes project, database, namespace and key file of a Datastore', () => {
  const datastore = new Datastore({ projectId: 'p', databaseId: 'db', namespace: 'n', keyFilename: '/k.json' })
  assert.deepStrictEqual(placeOfDataset(datastore),
    { url: 'datastore://p/db?credentials=%2Fk.json', namespace: 'n' })
  assert.deepStrictEqual(placeOfDataset(new Datastore({ projectId: 'p' })), { url: 'datastore://p', ...none })
})

it('takes the endpoint, to which nothing secret is sent in clear', () => {
  const expected = { url: 'datastore://p?endpoint=http%3A%2F%2F127.0.0.1%3A8081', ...none }
  for (const apiEndpoint of ['http://127.0.0.1:8081', '127.0.0.1:8081', 'http://127.0.0.1:8081/']) {
    assert.deepStrictEqual(placeOfDataset(new Datastore({ projectId: 'p', apiEndpoint, credentials: key })), expected)
    assert.deepStrictEqual(placeOfDataset(new Dataset({ projectId: 'p', apiEndpoint })), expected)
  }
  const regional = new Datastore({ projectId: 'p', apiEndpoint: 'eur3-datastore.googleapis.com' })
  assert.strictEqual(placeOfDataset(regional).url,
    'datastore://p?endpoint=https%3A%2F%2Feur3-datastore.googleapis.com')
})

it('tells of an endpoint that is not the emulator of the environment', () => {
  process.env.DATASTORE_EMULATOR_HOST = '127.0.0.1:8081'
  assert.strictEqual(placeOfDataset(new Datastore({ projectId: 'p' })).url, 'datastore://p')
  const other = new Datastore({ projectId: 'p', apiEndpoint: 'http://127.0.0.1:9' })
  assert.strictEqual(placeOfDataset(other).url, 'datastore://p?endpoint=http%3A%2F%2F127.0.0.1%3A9')
  delete process.env.DATASTORE_EMULATOR_HOST
})

it('takes the project of the key file where nothing else names one', () => {
  const file = path.join(freshFolder(), 'key.json')
  fs.writeFileSync(file, JSON.stringify({ ...key, project_id: 'of-the-key' }))
  const credentials = `credentials=${encodeURIComponent(file)}`
  assert.strictEqual(placeOfDataset(new Datastore({ keyFilename: file })).url, `datastore://of-the-key?${credentials}`)
  process.env.GOOGLE_APPLICATION_CREDENTIALS = file
  assert.strictEqual(placeOfDataset(new Datastore()).url, 'datastore://of-the-key')
  delete process.env.GOOGLE_APPLICATION_CREDENTIALS
})

it('takes the old dataset', () => {
  const dataset = new Dataset({ projectId: 'p', keyFilename: '/k.json', namespace: 'n' })
  assert.deepStrictEqual(placeOfDataset(dataset), { url: 'datastore://p?credentials=%2Fk.json', namespace: 'n' })
})

it('keeps credentials that were given as an object where nobody else can read them', () => {
  for (const dataset of [new Datastore({ projectId: 'p', credentials: key }),
    new Dataset({ projectId: 'p', credentials: key })]) {
    const file = decodeURIComponent(/credentials=(.*)$/.exec(placeOfDataset(dataset).url)[1])
    assert.strictEqual(placeOfDataset(dataset).url, `datastore://p?credentials=${encodeURIComponent(file)}`)
    assert.deepStrictEqual(JSON.parse(fs.readFileSync(file)), { type: 'service_account', ...key })
    assert.match(fs.readlinkSync(file), / \(deleted\)$/)
    assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
  }
})

it('takes the URL of another store', () => {
  assert.deepStrictEqual(placeOfDataset('sqlite:/tmp/x.db'), { url: 'sqlite:/tmp/x.db' })
})

it('takes the project of the environment, or says that there is none', () => {
  process.env.GOOGLE_CLOUD_PROJECT = 'of-the-environment'
  assert.strictEqual(placeOfDataset(new Datastore()).url, 'datastore://of-the-environment')
  delete process.env.GOOGLE_CLOUD_PROJECT
  assert.throws(() => placeOfDataset(new Datastore()), { code: 'INVALID' })
})
