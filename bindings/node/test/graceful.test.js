'use strict'
// Servers under load lose no request when their member is asked to leave.
const assert = require('node:assert')
const http = require('node:http')
const { once } = require('node:events')
const { it } = require('node:test')
const { Client, Member, fresh, gracefulShutdown, healthHandler, until } = require('./lib/comrade')

// --- Kinds of servers: each starts to listen and returns what gracefulShutdown takes ---

function answer(res) {
  setTimeout(() => res.end('hello'), 5)
}

async function plain(member) {
  const health = healthHandler(member)
  const server = http.createServer((req, res) => health(req, res) || answer(res))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function express(member) {
  const app = require('express')()
  app.use(healthHandler(member))
  app.get('/', (req, res) => answer(res))
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function fastify(member) {
  const app = require('fastify')()
  app.get('/comrade_health_check', (request, reply) => {
    reply.hijack()
    healthHandler(member)(request.raw, reply.raw)
  })
  app.get('/', async () => new Promise((resolve) => setTimeout(resolve, 5, 'hello')))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

// --- Load ---

function get(port, agent, path = '/') {
  return new Promise((resolve, reject) => {
    http.get({ port, agent, path, host: '127.0.0.1' }, (res) => {
      let body = ''
      res.setEncoding('utf8').on('data', (text) => { body += text }).on('end', () => resolve(body))
      res.on('error', reject)
    }).on('error', reject)
  })
}

// Asks whoever the list says is alive, as fast as it is answered, over connections that are kept.
function startLoad(client) {
  const load = { n: 0, failures: [], members: [] }
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
  const watch = client.watch({ role: 'app', alive: true })
  watch.on('change', (members) => { load.members = members })
  async function ask() {
    while (!load.isOver) {
      const member = load.members[load.n++ % load.members.length]
      if (member) {
        await get(member.metadata.port, agent).catch((error) => load.failures.push(error))
      } else {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
  const askers = Array.from({ length: 8 }, ask)
  load.stop = async () => {
    load.isOver = true
    await Promise.all(askers)
    watch.close()
    agent.destroy()
  }
  return load
}

for (const start of [plain, express, fastify]) {
  it(`${start.name}: no request is lost through killOldestMember`, async () => {
    const store = `memory:${fresh('graceful')}`
    const client = new Client({ store })
    const servers = []
    for (const id of ['a', 'b', 'c']) {
      const member = new Member({ store, role: 'app', id })
      const server = await start(member)
      member.metadata = { port: (server.server ?? server).address().port }
      const closed = gracefulShutdown(server, member, { delay: 200, timeout: 5000 })
      await member.start()
      await new Promise((resolve) => setTimeout(resolve, 3))
      servers.push({ server, closed })
    }
    const load = startLoad(client)
    await until(() => load.n > 200)
    const checked = JSON.parse(await get(load.members[0].metadata.port, undefined, '/comrade_health_check'))
    assert.strictEqual(checked.id, load.members[0].id)

    assert.strictEqual((await client.killOldestMember({ role: 'app' })).id, 'a')
    await servers[0].closed
    assert.strictEqual((servers[0].server.server ?? servers[0].server).listening, false)
    const n = load.n
    await until(() => load.n > n + 200)
    await client.killMember('b')
    await servers[1].closed
    await load.stop()
    assert.deepStrictEqual(load.failures, [])
    await client.killMember('c')
    await servers[2].closed
  })
}

it('connections that do not end are cut after the timeout', async () => {
  const store = `memory:${fresh('graceful')}`
  const member = new Member({ store, role: 'app', id: 'a' })
  const server = http.createServer(() => {}) // never answers
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const closed = gracefulShutdown(server, member, { delay: 0, timeout: 100 })
  await member.start()
  const asked = get(server.address().port).then(() => null, (error) => error)
  await once(server, 'request')
  await new Client({ store }).killMember('a')
  await closed
  assert.ok(await asked instanceof Error)
})

it('a signal can mean the same', async () => {
  const store = `memory:${fresh('graceful')}`
  const member = new Member({ store, role: 'app', id: 'a' })
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const closed = gracefulShutdown(server, member, { delay: 50, signals: ['SIGUSR2'] })
  await member.start()
  process.kill(process.pid, 'SIGUSR2')
  const client = new Client({ store })
  await until(async () => !(await client.getMembers({}))[0].alive)
  await closed
})
