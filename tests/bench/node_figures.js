'use strict'
// node_figures.js WHAT [STORE …]: the part of the figures that is in Node.js.
//   idle bare|server none|STORE|original ENDPOINT
//                         a process that does nothing, or an HTTP server that has answered; with nobody, a
//                         member, or one of comrade 0.0.3 by the shim of the package's tests. Prints "up"
//   list STORE ROUNDS     prints "MILLISECONDS of getMembers, of JSON.parse of the same data" a round
//   members STORE PREFIX N     as members.c
//   delay STORE           prints the 99th percentile of the event loop's delay, in milliseconds, of
//                         each second for ten, with a member and calls under way
const path = require('node:path')
const { monitorEventLoopDelay, performance } = require('node:perf_hooks')

const ROOT = path.join(__dirname, '..', '..')
process.env.COMRADE_ADDON = path.join(ROOT, 'build', 'node', 'comrade.node')
process.env.COMRADE_MODULE_PATH = path.join(ROOT, 'build', 'modules')
const comrade = () => require(path.join(ROOT, 'bindings', 'node'))
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

// What starting left behind is no part of what it takes to be there.
async function up() {
  for (let i = 0; i < 3; i++) {
    await sleep(300)
    global.gc?.()
  }
  console.log('up')
}

async function serve() {
  const http = require('node:http')
  const server = http.createServer((req, res) => res.end('hello'))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  for (let i = 0; i < 100; i++) {
    await new Promise((resolve) => http.get({ port: server.address().port }, (res) => res.resume().on('end', resolve)))
  }
}

function startOriginal(endpoint) {
  const tests = path.join(ROOT, 'bindings', 'node', 'test')
  const { Member } = require(path.join(tests, 'node_modules', 'comrade-original'))
  const Dataset = require(path.join(tests, 'lib', 'original-dataset.js'))
  const member = new Member({ googleDataset: new Dataset(endpoint, 'bench'), role: 'bench' })
  member.on('shutdown', () => {})
  member.start()
}

const FIGURES = {
  async idle(kind, store, endpoint) {
    process.stdin.resume()
    if (kind === 'server') {
      await serve()
    }
    if (store === 'original') {
      startOriginal(endpoint)
      await sleep(3000)
    } else if (store !== 'none') {
      const { Member } = comrade()
      const member = new Member({ store, role: 'bench' })
      member.on('shutdown', () => {})
      await member.start()
    }
    await up()
  },

  async list(store, rounds) {
    const { Client } = comrade()
    const client = new Client({ store })
    for (let i = 0; i < Number(rounds); i++) {
      const began = performance.now()
      const members = await client.getMembers()
      const listed = performance.now()
      const text = JSON.stringify(members)
      const written = performance.now()
      JSON.parse(text)
      console.log(listed - began, performance.now() - written)
      await sleep(10)
    }
  },

  async members(store, prefix, n) {
    const { Member } = comrade()
    const all = Array.from({ length: Number(n) }, (_, i) => new Member({ store, role: 'bench', id: `${prefix}-${i}` }))
    for (const member of all) {
      member.on('shutdown', () => {
        const now = process.hrtime.bigint()
        console.log(member.id, String(now))
      })
    }
    await Promise.all(all.map((member) => member.start()))
    console.log('up')
  },

  async delay(store) {
    const { Client, Member } = comrade()
    const member = new Member({ store, role: 'bench', heartbeat: 100 })
    member.on('shutdown', () => {}).on('error', () => {})
    const client = new Client({ store })
    await member.start()
    console.log('up')
    await require('node:events').once(process.stdin.resume(), 'data')
    for (let i = 0; i < 10; i++) {
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      client.getMembers().catch(() => {})
      client.killMember('nobody').catch(() => {})
      await sleep(1000)
      console.log(delay.percentile(99) / 1e6)
    }
    process.exit()
  }
}

FIGURES[process.argv[2]](...process.argv.slice(3))
