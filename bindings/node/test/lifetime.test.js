'use strict'
// What keeps a process alive and what does not; and that nothing hangs or crashes, whenever it ends.
const assert = require('node:assert')
const { it } = require('node:test')
const { Client, Member, fresh, runProgram, sqliteStore } = require('./lib/comrade')

const OPEN = 'const { Member, Client } = require(process.env.COMRADE_PACKAGE); const store = process.argv[1];'

async function ends(source, expected, options = {}) {
  const { store = `memory:${fresh('lifetime')}`, ...rest } = options
  const result = await runProgram(`${OPEN}${source}`, { args: [store], ...rest })
  assert.deepStrictEqual({ code: result.code, signal: result.signal, stdout: result.stdout },
    { signal: null, stdout: '', ...expected }, result.stderr)
  return result
}

it('a program that only requires the package ends', () => ends('', { code: 0 }))

it('a client that is idle keeps no process alive', () =>
  ends('new Client({ store }).getMembers({}).then((list) => console.log(list.length))', { code: 0, stdout: '0\n' }))

it('a call under way keeps the process alive', () =>
  ends('new Client({ store }).killMember("x", (error) => console.log(error.code))',
    { code: 0, stdout: 'NOT_FOUND\n' }))

it('a started member keeps the process alive, a stopped one does not', () => ends(`
  const member = new Member({ store, role: 'app' }); member.start()
  setTimeout(() => { console.log('still here'); member.stop() }, 200).unref()`,
{ code: 0, stdout: 'still here\n' }))

it('a member that was never started keeps no process alive', () =>
  ends('new Member({ store, role: "app" })', { code: 0 }))

it('a member that drains keeps no process alive, and goes on heartbeating', () => ends(`
  const member = new Member({ store, role: 'app', id: 'a', heartbeat: 100 })
  const client = new Client({ store, heartbeat: 100 })
  member.once('shutdown', () => setTimeout(async () => {
    const { updated, shutdownDate } = await member.fetch()
    console.log(updated > shutdownDate + 200)
  }, 500))
  member.start().then(() => client.killMember('a'))`, { code: 0, stdout: 'true\n' }))

it('a watch keeps the process alive until it is closed', () => ends(`
  const watch = new Client({ store }).watch({})
  watch.on('change', () => setTimeout(() => { console.log('closing'); watch.close() }, 100).unref())`,
{ code: 0, stdout: 'closing\n' }))

it('without a listener for shutdown the process counts down and exits', async () => {
  const { stdout } = await runProgram(`${OPEN}
    const member = new Member({ store, role: 'app', id: 'a', exitDelay: 1500 })
    setInterval(() => {}, 1000)
    member.start().then(() => new Client({ store }).killMember('a', () => console.time('exit')))
    process.on('exit', (code) => console.log('exit', code, member.alive, member.listenerCount('shutdown')))`,
  { args: ['memory:countdown'] })
  assert.match(stdout, /exiting in 1 s\nexit 0 false 0\n$/)
})

it('a listener that throws is an uncaught exception', async () => {
  const { code, stderr } = await runProgram(`${OPEN}
    const member = new Member({ store, role: 'app', id: 'a' })
    member.on('shutdown', () => { throw new Error('thrown by a listener') })
    member.start().then(() => new Client({ store }).killMember('a'))`, { args: ['memory:throws'] })
  assert.strictEqual(code, 1)
  assert.match(stderr, /thrown by a listener/)
})

const EXITS = {
  'before anything was heard': 'new Member({ store, role: "app" }).start(); process.exit(3)',
  'from an event': 'const m = new Member({ store, role: "app" }); m.on("registered", () => process.exit(3)); m.start()',
  'from a callback': 'new Client({ store }).getMembers({}, () => process.exit(3))',
  'from a health check': `new Member({ store, role: "app" }).start().then(() =>
    new Client({ store, healthCheck: () => process.exit(3) }).getMembers({}))`,
  'from a watch': 'new Client({ store }).watch({}).on("change", () => process.exit(3))',
  'with calls under way': `const c = new Client({ store })
    for (let i = 0; i < 100; i++) c.getMembers({}); setImmediate(() => process.exit(3))`,
  'and calls in the exit event': `const c = new Client({ store }); process.on('exit', () => {
    c.getMembers({}, () => {}); new Member({ store, role: "app" }) }); c.getMembers({}, () => process.exit(3))`,
  'with a check that waits': `new Member({ store, role: "app" }).start().then(() => {
    new Client({ store, healthCheck: () => setImmediate(() => process.exit(3)) }).getMembers({}) })`
}

for (const [when, source] of Object.entries(EXITS)) {
  it(`process.exit ${when}`, async () => {
    await ends(source, { code: 3 })
    await ends(source, { code: 3 }, { store: sqliteStore() })
  })
}

it('process.exit while a store does not answer', () =>
  ends('new Member({ store, role: "app" }).start(); setTimeout(() => process.exit(3), 300)', { code: 3 },
    { store: 'postgres://nobody@127.0.0.1:1/none' }))

const WORKER = `
  const { Worker, isMainThread, parentPort } = require('node:worker_threads')
  const { once } = require('node:events')
  const inWorker = (source) => new Worker(${JSON.stringify(OPEN)} + source, { eval: true, argv: [process.argv[1]] })`

it('workers have members and clients of their own', () => ends(`${WORKER}
  async function main() {
    const workers = [0, 1, 2].map((i) => inWorker(\`
      const member = new Member({ store: process.argv[2], role: 'app', id: 'w\${i}' })
      member.on('shutdown', () => member.stop())
      member.start().then(() => require('node:worker_threads').parentPort.postMessage('up'))\`))
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    const client = new Client({ store })
    console.log((await client.getMembers({})).map(({ id }) => id).join())
    const exits = workers.map((worker) => once(worker, 'exit'))
    for (const { id } of await client.getMembers({})) await client.killMember(id)
    console.log((await Promise.all(exits)).join())
  }
  main()`, { code: 0, stdout: 'w0,w1,w2\n0,0,0\n' }, { store: sqliteStore() }))

it('workers are terminated at any moment', () => ends(`${WORKER}
  async function main() {
    for (let i = 0; i < 8; i++) {
      const worker = inWorker(\`
        const member = new Member({ store: process.argv[2], role: 'app' })
        member.start()
        const client = new Client({ store: process.argv[2], healthCheck: () => {} })
        client.watch({}).on('change', () => {})
        for (let i = 0; i < 10; i++) client.getMembers({}, () => {})
        if (\${i} % 4 === 3) process.exit(0)
        if (\${i} % 4 === 2) setInterval(() => {}, 1)
        if (\${i} % 4 === 1) client.getMembers({}, () => process.exit(0))\`)
      await new Promise((resolve) => setTimeout(resolve, i * 15))
      await worker.terminate()
    }
    console.log('done')
  }
  main()`, { code: 0, stdout: 'done\n' }, { store: sqliteStore() }))

it('a worker is terminated inside a callback, with others waiting', () => ends(`${WORKER}
  const BUSY = "require('node:worker_threads').parentPort.postMessage('busy'); for (;;) {}"
  const SOURCES = [
    'new Client({ store: process.argv[2], healthCheck: () => {' + BUSY + '} }).getMembers({})',
    'for (let i = 0; i < 9; i++) new Client({ store: process.argv[2] }).getMembers({}, () => {' + BUSY + '})',
    'new Client({ store: process.argv[2] }).watch({}).on("change", () => {' + BUSY + '})'
  ]
  async function main() {
    const members = [0, 1, 2, 3, 4].map((i) => new Member({ store, role: 'app', id: 'm' + i }))
    await Promise.all(members.map((member) => member.start()))
    for (const source of [...SOURCES, ...SOURCES]) {
      const worker = inWorker(source)
      await once(worker, 'message')
      await worker.terminate()
    }
    members.forEach((member) => member.stop())
    console.log('done')
  }
  main()`, { code: 0, stdout: 'done\n' }))

it('a worker that has stopped its member ends by itself', () => ends(`${WORKER}
  inWorker("const m = new Member({ store: process.argv[2], role: 'app' }); m.start().then(() => m.stop())")
    .on('exit', (code) => console.log(code))`, { code: 0, stdout: '0\n' }))

// A sanitizer keeps what was freed.
const isSanitized = Boolean(process.env.COMRADE_TEST_SANITIZED)

it('10,000 members come and go without growth', { skip: isSanitized && 'sanitized' }, async () => {
  const store = `memory:${fresh('cycles')}`
  const client = new Client({ store })
  const cycle = async () => {
    const member = new Member({ store, role: 'app', id: 'same', metadata: { text: 'x'.repeat(1000) } })
    await member.start()
    member.stop()
  }
  const cycles = async (n) => {
    for (let i = 0; i < n; i++) {
      await cycle()
    }
    for (let i = 0; i < 5; i++) {
      global.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return process.memoryUsage().rss
  }
  const before = await cycles(2000)
  const after = await cycles(8000)
  assert.ok(after - before < 8 << 20, `${(after - before) >> 10} KiB more`)
  assert.strictEqual((await client.getMembers({})).length, 1)
})

it('clusters that nobody holds are closed', { skip: !global.gc && 'needs --expose-gc' }, async () => {
  const fs = require('node:fs')
  const threads = () => fs.readdirSync('/proc/self/task').length
  const before = threads()
  for (let i = 0; i < 20; i++) {
    await new Client({ store: `memory:${fresh('closed')}` }).getMembers({})
  }
  assert.ok(threads() > before)
  for (let i = 0; i < 200 && threads() > before + 4; i++) {
    global.gc()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.ok(threads() <= before + 4, `${threads()} threads, ${before} before`) // four are the pool's
})
