'use strict'
// As much of gcloud's old dataset as comrade 0.0.3 calls, over the REST API.

const toValue = (value) => {
  switch (typeof value) {
    case 'string': return { stringValue: value }
    case 'boolean': return { booleanValue: value }
    case 'number': return Number.isInteger(value) ? { integerValue: String(value) } : { doubleValue: value }
    default: return { entityValue: { properties: toProperties(value) } }
  }
}

const toProperties = (data) => Object.fromEntries(Object.entries(data).map(([name, value]) => [name, toValue(value)]))

function fromValue(value) {
  const [[kind, content]] = Object.entries(value).filter(([name]) => /Value$/.test(name))
  switch (kind) {
    case 'integerValue': return Number(content)
    case 'entityValue': return fromProperties(content.properties)
    // Not known in its day: it is carried through as it came.
    case 'timestampValue': return new Date(content)
    default: return content
  }
}

function fromProperties(properties = {}) {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, fromValue(value)]))
}

class Dataset {
  constructor(endpoint, projectId, namespace = '') {
    Object.assign(this, { endpoint, projectId, namespace })
  }

  async call(method, body) {
    const response = await fetch(`${this.endpoint}/v1/projects/${this.projectId}:${method}`,
      { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
    const answer = await response.json()
    if (!response.ok) {
      throw new Error(answer.error.message)
    }
    return answer
  }

  partition() {
    return { projectId: this.projectId, namespaceId: this.namespace }
  }

  keyOf({ path: [kind, name] }) {
    return { partitionId: this.partition(), path: [{ kind, name }] }
  }

  entityOf({ entity }) {
    const [{ kind, name }] = entity.key.path
    return { key: { path: [kind, name] }, data: fromProperties(entity.properties), raw: entity.properties }
  }

  async lookup(key, readOptions) {
    const { found = [] } = await this.call('lookup', { keys: [this.keyOf(key)], readOptions })
    return found.length === 0 ? undefined : this.entityOf(found[0])
  }

  // What was not touched is written as it was read: the original's library did not change types.
  async commit(mutations, transaction) {
    return this.call('commit', transaction
      ? { mode: 'TRANSACTIONAL', transaction, mutations }
      : { mode: 'NON_TRANSACTIONAL', mutations })
  }

  upsertOf({ key, data, raw = {} }) {
    const isSame = (name) => raw[name] && JSON.stringify(fromValue(raw[name])) === JSON.stringify(data[name])
    const properties = Object.fromEntries(Object.entries(data)
      .map(([name, value]) => [name, isSame(name) ? raw[name] : toValue(value)]))
    return { upsert: { key: this.keyOf(key), properties } }
  }

  // --- What comrade 0.0.3 calls ---

  key(options) {
    return options
  }

  createQuery(namespace, [kind]) {
    const filters = []
    const query = {
      kind,
      filters,
      filter(condition, value) {
        filters.push({ propertyFilter: { property: { name: condition.split(' ')[0] }, op: 'EQUAL', value: toValue(value) } })
        return query
      }
    }
    return query
  }

  runQuery({ kind, filters }, callback) {
    const filter = filters.length === 0 ? undefined : { compositeFilter: { op: 'AND', filters } }
    this.call('runQuery', { partitionId: this.partition(), query: { kind: [{ name: kind }], filter } })
      .then(({ batch }) => callback(null, (batch.entityResults ?? []).map((result) => this.entityOf(result))), callback)
  }

  get(key, callback) {
    this.lookup(key).then((entity) => callback(null, entity), callback)
  }

  delete(key, callback) {
    this.commit([{ delete: this.keyOf(key) }]).then(() => callback(null), callback)
  }

  runInTransaction(run, callback) {
    this.call('beginTransaction', {}).then(({ transaction }) => {
      const mutations = []
      const handle = {
        get: (key, done) => this.lookup(key, { transaction }).then((entity) => done(null, entity), done),
        save: (entity) => mutations.push(this.upsertOf(entity)),
        rollback: (done) => this.call('rollback', { transaction }).then(() => done(), done)
      }
      run(handle, () => this.commit(mutations, transaction).then(() => callback(null), callback))
    }, callback)
  }
}

module.exports = Dataset
