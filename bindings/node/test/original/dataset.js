'use strict'
// As much of a dataset object of the gcloud library of 2015 as comrade 0.0.3 uses, over Datastore's
// REST v1: that library's own protocol has been switched off since. Commits say which entities were
// read, as that protocol's transactions did.

class Query {
  constructor(kinds, filters = []) {
    this.kinds = kinds
    this.filters = filters
  }

  filter(property, value) {
    return new Query(this.kinds, [...this.filters, [property.replace(/ =$/, ''), value]])
  }
}

const toValue = (value) => {
  if (value === null) {
    return { nullValue: null }
  }
  if (value instanceof Date) {
    return { timestampValue: value.toISOString() }
  }
  if (Array.isArray(value)) {
    return { arrayValue: { values: value.map(toValue) } }
  }
  switch (typeof value) {
    case 'string': return { stringValue: value }
    case 'boolean': return { booleanValue: value }
    case 'number':
      return Number.isInteger(value) ? { integerValue: String(value) } : { doubleValue: value }
    default: return { entityValue: { properties: toProperties(value) } }
  }
}

const toProperties = (data) =>
  Object.fromEntries(Object.entries(data).map(([name, value]) => [name, toValue(value)]))

const fromValue = (value) => {
  if ('integerValue' in value) {
    return Number(value.integerValue)
  }
  if ('timestampValue' in value) {
    return new Date(value.timestampValue)
  }
  if ('arrayValue' in value) {
    return (value.arrayValue.values || []).map(fromValue)
  }
  if ('entityValue' in value) {
    return fromProperties(value.entityValue.properties || {})
  }
  return Object.entries(value).find(([type]) => type !== 'excludeFromIndexes')[1]
}

const fromProperties = (properties) =>
  Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, fromValue(value)]))

const fromEntity = ({ key, properties }) =>
  ({ key: { path: key.path.flatMap(({ kind, name }) => [kind, name]) },
     data: fromProperties(properties || {}) })

class Dataset {
  constructor(host, project) {
    this.place = `http://${host}/v1/projects/${project}`
  }

  async ask(method, body) {
    const answer = await fetch(`${this.place}:${method}`,
      { method: 'POST', body: JSON.stringify(body) })
    const said = await answer.json()
    if (!answer.ok) {
      throw Object.assign(new Error(said.error.message), { code: answer.status })
    }
    return said
  }

  key({ path }) {
    return { path }
  }

  createQuery(namespace, kinds) {
    return new Query(kinds || namespace)
  }

  runQuery(query, callback) {
    const filters = query.filters.map(([name, value]) =>
      ({ propertyFilter: { property: { name }, op: 'EQUAL', value: toValue(value) } }))
    this.runAll({ kind: [{ name: query.kinds[0] }],
                  ...(filters.length > 0 && { filter: { compositeFilter: { op: 'AND', filters } } }) })
      .then((entities) => callback(null, entities, null), callback)
  }

  async runAll(query) {
    const { batch } = await this.ask('runQuery', { query })
    const entities = (batch.entityResults || []).map(({ entity }) => fromEntity(entity))
    return batch.moreResults === 'NOT_FINISHED'
      ? [...entities, ...await this.runAll({ ...query, startCursor: batch.endCursor })]
      : entities
  }

  async look(key, transaction) {
    const { found = [] } = await this.ask('lookup', {
      keys: [wholeKey(key)], ...(transaction && { readOptions: { transaction } }) })
    return found.length > 0 ? fromEntity(found[0].entity) : undefined
  }

  get(key, callback) {
    this.look(key).then((entity) => callback(null, entity), callback)
  }

  delete(key, callback) {
    this.ask('commit', { mode: 'NON_TRANSACTIONAL', mutations: [{ delete: wholeKey(key) }] })
      .then(() => callback(null), callback)
  }

  // The function calls `done` when all is saved that shall be; `callback` when it is committed.
  runInTransaction(work, callback) {
    this.transact(work).then(() => callback(null), callback)
  }

  async transact(work) {
    const { transaction } = await this.ask('beginTransaction', {})
    const saved = []
    await new Promise((resolve) => work({
      get: (key, callback) =>
        this.look(key, transaction).then((entity) => callback(null, entity), callback),
      save: (entity) => saved.push(entity),
      rollback: resolve
    }, resolve))
    await this.ask('commit', {
      mode: 'TRANSACTIONAL',
      transaction,
      mutations: saved.map(({ key, data }) =>
        ({ upsert: { key: wholeKey(key), properties: toProperties(data) } }))
    })
  }
}

const wholeKey = ({ path }) => ({ path: [{ kind: path[0], name: path[1] }] })

module.exports = Dataset
