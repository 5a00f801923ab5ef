'use strict'
// node_figures.js WHAT [STORE …]: the part of the figures that is in Node.js.
//   idle [STORE]          nothing, or a member; prints "up"; then reads its standard input
//   original ENDPOINT     the same for comrade 0.0.3, by the shim of the package's tests
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
  await sleep(500)
  global.gc?.()
  await sleep(500)
  console.log('up')
}

const FIGURES = {
  async idle(store) {
    process.stdin.resume()
    if (store) {
      const { Member } = comrade()
      const member = new Member({ store, role: 'bench' })
      member.on('shutdown', () => {})
      await member.start()
    }
    await up()
  },

  async original(endpoint) {
    process.stdin.resume()
    const tests = path.join(ROOT, 'bindings', 'node', 'test')
    const { Member } = require(path.join(tests, 'node_modules', 'comrade-original'))
    const Dataset = require(path.join(tests, 'lib', 'original-dataset.js'))
    const member = new Member({ googleDataset: new Dataset(endpoint, 'bench'), role: 'bench' })
    member.on('shutdown', () => {})
    member.start()
    await sleep(3000)
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
