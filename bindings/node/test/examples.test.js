'use strict'
// The examples, as they stand.
const assert = require('node:assert')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const { promisify } = require('node:util')
const { after, it } = require('node:test')
const { Client, ROOT, freshFolder, sqliteStore, until } = require('./lib/comrade')

// As if the packages had been installed beside each example.
const folder = freshFolder()
fs.cpSync(path.join(ROOT, 'examples'), folder, { recursive: true })
const modules = path.join(folder, 'node_modules')
fs.mkdirSync(modules)
fs.symlinkSync(path.join(ROOT, 'bindings', 'node'), path.join(modules, 'comrade'))
for (const name of ['express', 'fastify']) {
  fs.symlinkSync(path.join(__dirname, 'node_modules', name), path.join(modules, name))
}

const children = []
after(() => children.forEach((child) => child.kill('SIGKILL')))

function start(file, env) {
  const child = spawn(process.execPath, [path.join(folder, file)],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  child.said = ''
  child.stdout.setEncoding('utf8').on('data', (text) => { child.said += text })
  children.push(child)
  return child
}

async function freePort() {
  const server = net.createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return String(port)
}

for (const [name, file] of [['express', 'express/server.js'], ['fastify', 'fastify/server.mjs']]) {
  it(`${name}: lists itself, and leaves when it is asked, and by a signal`, async () => {
    const store = sqliteStore()
    const client = new Client({ store })
    const env = { COMRADE_STORE: store, DELAY: '100' }
    const servers = [start(file, env), start(file, env)]
    const members = await until(async () => {
      const list = await client.getMembers({ role: name })
      return list.length === 2 && list
    })
    const { me } = await (await fetch(`http://127.0.0.1:${members[0].metadata.port}/`)).json()
    assert.strictEqual(me, members[0].id)
    const exits = servers.map((server) => once(server, 'exit'))
    assert.ok(await client.killOldestMember({ role: name }))
    await Promise.race(exits)
    servers.find((server) => server.exitCode === null).kill('SIGTERM')
    assert.deepStrictEqual(await Promise.all(exits), [[0, null], [0, null]])
    servers.forEach((server) => assert.match(server.said, /all requests are answered/))
  })
}

it('the programs in the shapes of the page', async () => {
  const store = sqliteStore()
  const client = new Client({ store })
  const services = [await freePort(), await freePort()].map((port) =>
    start('node-page/service.js', { COMRADE_STORE: store, LISTEN_PORT: port, DRAIN: '100' }))
  await until(async () => (await client.getMembers({ role: 'app' })).length === 2)
  const administrator = await promisify(execFile)(process.execPath, [path.join(folder, 'node-page/administrator.js')],
    { env: { ...process.env, COMRADE_STORE: store } })
  assert.match(administrator.stdout, /^(answers: .*\n){2}nobody: NOT_FOUND\noldest: \S+\ncleared: 0\ndone\n$/)
  await until(() => services.some(({ said }) => said.includes('left\n')))
  for (const { id } of await client.getMembers({})) {
    await client.killMember(id)
  }
  await until(() => services.every(({ exitCode }) => exitCode === 0))
})
