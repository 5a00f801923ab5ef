'use strict'
// The package as it is released: what was built before is taken, so that nobody needs a compiler.
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { execFile, execFileSync } = require('node:child_process')
const { promisify } = require('node:util')
const { after, before, describe, it } = require('node:test')
const { freshFolder, ROOT, sqliteStore } = require('./lib/comrade')
const { startPostgres } = require('./lib/servers')
const { nodePrograms } = require('./lib/tls')

const folder = freshFolder()
const installed = path.join(folder, 'app')
const environment = { ...process.env, PATH: path.join(folder, 'bin') }
for (const name of ['COMRADE_ADDON', 'COMRADE_MODULE_PATH', 'COMRADE_BUILD_DIR', 'CC']) {
  delete environment[name]
}

// The only programs there are: Node.js, npm, and what npm needs.
function makeBin() {
  fs.mkdirSync(environment.PATH)
  for (const name of ['node', 'npm', 'sh', 'env']) {
    const file = execFileSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim()
    fs.symlinkSync(fs.realpathSync(file), path.join(environment.PATH, name))
  }
}

// Packed from a copy, since others pack in the folder itself meanwhile.
function pack() {
  const copy = path.join(folder, 'source')
  for (const name of ['include', 'src', 'bindings/node']) {
    fs.cpSync(path.join(ROOT, name), path.join(copy, name), {
      recursive: true,
      filter: (file) => !/bindings\/node\/(test|build|deps|prebuilds)$/.test(file)
    })
  }
  const place = path.join(copy, 'bindings', 'node')
  execFileSync(process.execPath, [path.join(place, 'scripts', 'prebuild.js')],
    { env: { ...process.env, CFLAGS: '-O0' } }) // in half the time
  const names = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: place, encoding: 'utf8' })
  return path.join(folder, names.trim())
}

before(() => {
  makeBin()
  const packed = pack()
  fs.mkdirSync(installed)
  fs.writeFileSync(path.join(installed, 'package.json'), '{"private":true}')
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--silent', packed],
    { cwd: installed, env: environment })
})

const PROGRAM = `
  const store = process.argv[1]
  const member = new Member({ store, role: 'app', id: 'a' })
  member.on('shutdown', ({ reason }) => { console.log(reason); member.stop() })
  await member.start()
  const client = new Client({ store })
  console.log((await client.getMembers({ role: 'app' })).map(({ id }) => id).join())
  await client.killMember('a', { reason: 'enough' })`
const FORMS = {
  CommonJS: ['-e', `const { Member, Client } = require('comrade'); (async () => {${PROGRAM}})()`],
  'an ES module': ['--input-type=module', '-e', `import { Member, Client } from 'comrade'; ${PROGRAM}`]
}

async function run(program, args) {
  const { stdout } = await promisify(execFile)(program, args, { cwd: installed, env: environment, timeout: 60000 })
  return stdout
}

it('is installed without a compiler, and builds nothing', () => {
  const place = path.join(installed, 'node_modules', 'comrade')
  assert.ok(fs.existsSync(path.join(place, 'prebuilds', `linux-${process.arch}`, 'comrade.node')))
  assert.ok(!fs.existsSync(path.join(place, 'build')))
})

it('needs no library but the C library, until a store is named that does', () => {
  const file = path.join(installed, 'node_modules', 'comrade', 'prebuilds', `linux-${process.arch}`, 'comrade.node')
  const needed = execFileSync('readelf', ['-d', file], { encoding: 'utf8' }).match(/Shared library: \[[^\]]*/g)
    .map((line) => line.slice('Shared library: ['.length))
  assert.deepStrictEqual(needed.filter((name) => !/^(libc|libm|ld-linux-\w+)\.so/.test(name)), [])
})

describe('a member and a client', () => {
  let server
  before(async () => { server = await startPostgres() })
  after(() => server?.close())

  for (const [form, flags] of Object.entries(FORMS)) {
    for (const [name, program, options] of nodePrograms()) {
      it(`run as ${form} on sqlite, in ${name}`, options, async () =>
        assert.strictEqual(await run(program, [...flags, '--', sqliteStore()]), 'a\nenough\n'))
    }
    it(`run as ${form} on postgres`, async () =>
      assert.strictEqual(await run(process.execPath, [...flags, '--', server.url]), 'a\nenough\n'))
  }
})
