'use strict'
// Each call of the page, with a callback and with a promise, on every store.
const assert = require('node:assert')
const { promisify } = require('node:util')
const { after, before, describe, it } = require('node:test')
const { once } = require('node:events')
const { Client, Member, fresh, sqliteStore, until } = require('./lib/comrade')
const { startDatastore, startPostgres } = require('./lib/servers')

const servers = {}

// To add a store: a row here; it says what the options of clients and members say.
const STORES = {
  memory: async () => ({ store: `memory:${fresh('calls')}` }),
  sqlite: async () => ({ store: sqliteStore() }),
  postgres: async () => {
    servers.postgres = await startPostgres()
    return { store: servers.postgres.url }
  },
  // By Google's own client object. Nothing is pushed there: requests come with the heartbeat.
  datastore: async () => {
    servers.datastore = await startDatastore()
    const { Datastore } = require('@google-cloud/datastore')
    const googleDataset = new Datastore({ projectId: 'test', apiEndpoint: servers.datastore.endpoint })
    return { googleDataset, heartbeat: 200 }
  }
}

// What a row needs and nobody has installed.
function lacking(name) {
  try {
    return name === 'datastore' && !require.resolve('@google-cloud/datastore')
  } catch {
    return "npm's @google-cloud/datastore is not installed"
  }
}

// A call made both ways, which must come to the same.
async function bothWays(receiver, method, ...args) {
  const byPromise = await receiver[method](...args)
  const byCallback = await promisify(receiver[method]).call(receiver, ...args)
  return [byPromise, byCallback]
}

for (const [name, open] of Object.entries(STORES)) {
  describe(`on ${name}`, { skip: lacking(name) }, () => {
    let named
    const members = []
    const watches = []

    before(async () => { named = await open() })
    after(async () => {
      members.forEach((member) => member.stop())
      watches.forEach((watch) => watch.close())
      await servers[name]?.close()
    })

    function place() {
      return { ...named, googleDatasetNamespace: fresh('calls') }
    }

    async function started(where, options) {
      const member = new Member({ ...where, ...options })
      member.on('shutdown', () => {})
      members.push(member)
      await member.start()
      return member
    }

    it('lists members with the data of the page', async () => {
      const where = place()
      const client = new Client(where)
      const before = Date.now()
      await started(where, { role: 'app', id: 'a', metadata: { ip: '10.0.0.1', port: 80 } })
      await started(where, { role: 'web', id: 'b' })
      const [all, again] = await bothWays(client, 'getMembers', {})
      assert.deepStrictEqual(all.map(({ id }) => id), ['a', 'b'])
      assert.deepStrictEqual(again, all)
      const { created, updated, ...rest } = all[0]
      assert.deepStrictEqual(rest, {
        id: 'a', role: 'app', alive: true, metadata: { ip: '10.0.0.1', port: 80 }, healthy: true, stale: false
      })
      assert.ok(Math.abs(created - before) < 60000 && Math.abs(updated - created) < 60000)
      assert.ok(!('metadata' in all[1]) && !('shutdownDate' in all[1]))
    })

    it('lists by role, alive, healthy, stale and metadata', async () => {
      const where = place()
      const client = new Client({ ...where, healthCheck: (member, callback) => callback(member.id === 'a') })
      await started(where, { role: 'app', id: 'a', metadata: { zone: 'x' } })
      const b = await started(where, { role: 'app', id: 'b', metadata: { zone: 'y' } })
      await started(where, { role: 'web', id: 'c' })
      await b.reportDead()
      const ids = async (query) => (await client.getMembers(query)).map(({ id }) => id)
      assert.deepStrictEqual(await ids({ role: 'app' }), ['a', 'b'])
      assert.deepStrictEqual(await ids({ alive: true }), ['a', 'c'])
      assert.deepStrictEqual(await ids({ alive: false }), ['b'])
      assert.deepStrictEqual(await ids({ healthy: true }), ['a'])
      assert.deepStrictEqual(await ids({ healthy: false, role: 'app' }), ['b'])
      assert.deepStrictEqual(await ids({ stale: true }), [])
      assert.deepStrictEqual(await ids({ stale: false, where: { zone: 'y' } }), ['b'])
    })

    it('kills by id, which reaches the event with who and why', async () => {
      const where = place()
      const client = new Client(where)
      const a = await started(where, { role: 'app', id: 'a' })
      const heard = once(a, 'shutdown')
      const killed = await client.killMember('a', { reason: 'deploy', user: 'ann' })
      assert.strictEqual(killed.id, 'a')
      const [request] = await heard
      assert.strictEqual(request.user, 'ann')
      assert.strictEqual(request.reason, 'deploy')
      assert.ok(request.host && request.requested > 0)
      const [data] = await client.getMembers({ alive: false })
      assert.strictEqual(data.shutdownDate, request.requested)
      // A second kill leaves the first one's time.
      await promisify(client.killMember).call(client, 'a')
      const [later] = await client.getMembers({})
      assert.strictEqual(later.shutdownDate, data.shutdownDate)
    })

    it('tells of an id that nobody has', async () => {
      const client = new Client(place())
      await assert.rejects(client.killMember('nobody'), { code: 'NOT_FOUND' })
      await assert.rejects(promisify(client.killMember).call(client, 'nobody'), { code: 'NOT_FOUND' })
      await assert.rejects(client.zombifyMember('nobody'), { code: 'NOT_FOUND' })
    })

    it('kills the oldest, and none when the minimum forbids it', async () => {
      const where = place()
      const client = new Client(where)
      await started(where, { role: 'app', id: 'old' })
      await new Promise((resolve) => setTimeout(resolve, 5))
      await started(where, { role: 'app', id: 'new' })
      const killed = await client.killOldestMember({ role: 'app' })
      assert.strictEqual(killed.id, 'old')
      assert.strictEqual(await client.killOldestMember({ role: 'app' }), null)
      assert.strictEqual(await promisify(client.killOldestMember).call(client, { role: 'app' }), null)
      await assert.rejects(client.killOldestMember({ role: 'app', strict: true }), { code: 'REFUSED' })
      await assert.rejects(client.killOldestMember({}), { message: 'You must set a role' })
      await assert.rejects(promisify(client.killOldestMember).call(client, {}),
        (error) => error instanceof Error && error.message === 'You must set a role')
      const none = new Client({ ...where, roles: { app: { minMembers: 0 } } })
      assert.strictEqual((await none.killOldestMember({ role: 'app' })).id, 'new')
    })

    it('kills all that are there one after the other, as others take their place', async () => {
      const where = place()
      const client = new Client(where)
      const first = await started(where, { role: 'app', id: 'first' })
      const second = await started(where, { role: 'app', id: 'second' })
      for (const member of [first, second]) {
        member.on('shutdown', () => started(where, { role: 'app', id: `after-${member.id}` }))
      }
      const noted = await client.rollingKill({ role: 'app', interval: 50 })
      assert.deepStrictEqual(noted.map(({ id }) => id).sort(), ['first', 'second'])
      await until(async () =>
        String((await client.getMembers({ alive: true })).map(({ id }) => id)) === 'after-first,after-second')
      await assert.rejects(client.rollingKill({}), { message: 'You must set a role' })
      await promisify(client.rollingKill).call(client, { role: 'nobody' })
    })

    it('zombifies: off the list, and not asked to leave', async () => {
      const where = place()
      const client = new Client(where)
      const a = await started(where, { role: 'app', id: 'a' })
      let wasAsked = false
      a.on('shutdown', () => { wasAsked = true })
      const heard = once(a, 'zombified')
      await bothWays(client, 'zombifyMember', 'a')
      await heard
      const [data] = await client.getMembers({ alive: false })
      assert.ok(data.id === 'a' && !('shutdownDate' in data) && !wasAsked)
    })

    it('clears nothing while nothing is stale', async () => {
      const where = place()
      const client = new Client(where)
      await started(where, { role: 'app', id: 'a' })
      const [byPromise, byCallback] = await bothWays(client, 'clearStaleMembers')
      assert.deepStrictEqual([...byPromise, ...byCallback], [])
      assert.strictEqual((await client.getMembers({})).length, 1)
    })

    it('keeps the minimum of a role for everybody', async () => {
      const where = place()
      const client = new Client(where)
      await started(where, { role: 'app', id: 'a' })
      await started(where, { role: 'app', id: 'b' })
      await client.setRole('app', { minMembers: 2 })
      const [role] = await bothWays(client, 'getRole', 'app')
      assert.deepStrictEqual(role, { role: 'app', minMembers: 2, available: 2 })
      assert.strictEqual(await new Client(where).killOldestMember({ role: 'app' }), null)
      await promisify(client.setRole).call(client, 'app', { minMembers: null })
      assert.strictEqual((await client.getRole('app')).minMembers, null)
    })

    it('creates members in its own place', async () => {
      const where = { ...place(), kind: 'Other' }
      const client = new Client(where)
      const member = client.createMember({ role: 'app', id: 'a' })
      members.push(member)
      await member.start()
      assert.deepStrictEqual((await client.getMembers({})).map(({ id }) => id), ['a'])
      assert.deepStrictEqual(await new Client({ ...where, kind: undefined }).getMembers({}), [])
      await client.zombifyMember('a')
      assert.strictEqual((await member.fetch()).alive, false)
    })

    it('fetches, saves, updates and reports itself dead, started or not', async () => {
      const where = place()
      const client = new Client(where)
      const member = new Member({ ...where, role: 'app', id: 'a', metadata: { n: 1 } })
      members.push(member)
      assert.deepStrictEqual(await bothWays(member, 'fetch'), [undefined, undefined])
      await bothWays(member, 'save')
      assert.deepStrictEqual((await member.fetch()).metadata, { n: 1 })
      await member.start()
      member.metadata = { n: 2 }
      await bothWays(member, 'save')
      assert.deepStrictEqual((await client.getMembers({}))[0].metadata, { n: 2 })
      const { updated } = await member.fetch()
      await until(async () => {
        await bothWays(member, 'update')
        return (await member.fetch()).updated > updated
      })
      await bothWays(member, 'reportDead')
      assert.strictEqual((await member.fetch()).alive, false)
      member.stop()
      await member.reportDead()
    })

    it('watches as an iterator and as an emitter', async () => {
      const where = place()
      const client = new Client(where)
      const watch = client.watch({ role: 'app' })
      watches.push(watch)
      const sizes = []
      watch.on('change', (list) => sizes.push(list.length))
      const seen = []
      const iterating = (async () => {
        watches.push(client.watch({ role: 'app', alive: true }))
        for await (const list of watches[1]) {
          const ids = list.map(({ id }) => id)
          // One that was asked and is still alive has changed, too.
          if (seen.length === 0 || String(ids) !== String(seen[seen.length - 1])) {
            seen.push(ids)
          }
          if (ids.length === 1) {
            await client.killMember('a')
          } else if (seen.length > 2) {
            break
          }
        }
      })()
      await until(() => seen.length > 0)
      await started(where, { role: 'app', id: 'a' })
      await iterating
      assert.deepStrictEqual(seen, [[], ['a'], []])
      await until(() => sizes.includes(1))
      watch.close()
      assert.strictEqual(sizes[0], 0)
      assert.deepStrictEqual(await watch.next().then(() => watch.next()), { value: undefined, done: true })
    })
  })
}
