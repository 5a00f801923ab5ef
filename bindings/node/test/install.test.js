'use strict'
// The package as npm packs it: whole, and built where it is installed.
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { execFileSync, spawnSync } = require('node:child_process')
const { before, it } = require('node:test')
const { freshFolder, ROOT } = require('./lib/comrade')

const PACKAGE = path.join(ROOT, 'bindings', 'node')
const folder = freshFolder()
const environment = { ...process.env, CFLAGS: '-O0' } // in half the time
for (const name of ['COMRADE_ADDON', 'COMRADE_MODULE_PATH', 'COMRADE_BUILD_DIR']) {
  delete environment[name]
}

function npm(args, options = {}) {
  return execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error', '--foreground-scripts'],
    { encoding: 'utf8', env: environment, ...options })
}

function run(source, env = {}) {
  return spawnSync(process.execPath, ['-e', source], { cwd: folder, encoding: 'utf8', env: { ...environment, ...env } })
}

before(() => {
  const packed = npm(['pack', '--pack-destination', folder], { cwd: PACKAGE, stdio: ['ignore', 'pipe', 'ignore'] })
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}')
  npm(['install', '--build-from-source', path.join(folder, packed.trim().split('\n').pop())], { cwd: folder })
})

it('needs nothing else of npm', () => {
  assert.deepStrictEqual(fs.readdirSync(path.join(folder, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['comrade'])
  assert.ok(!fs.existsSync(path.join(PACKAGE, 'deps')), 'what was copied for packing is removed')
})

it('runs from where it was installed, as CommonJS and as a module', () => {
  const done = run(`
    const { Member, Client } = require('comrade')
    const member = new Member({ store: 'memory:', role: 'app', id: 'a' })
    member.start().then(async () => {
      const module = await import('comrade')
      const [{ id }] = await new module.Client({ store: 'memory:' }).getMembers()
      console.log(id, module.Member === Member, module.default.Client === Client)
      member.stop()
    })`)
  assert.strictEqual(done.stdout, 'a true true\n', done.stderr)
})

it('finds its drivers beside the addon', () => {
  const done = run(`new (require('comrade').Client)({ store: 'postgres://nobody@127.0.0.1:1/none' }).getMembers({})
    .catch(({ code }) => console.log(code))`)
  assert.strictEqual(done.stdout, 'UNAVAILABLE\n', done.stderr)
})

it('keeps its members in the embedded store where nobody names one, and in COMRADE_STORE where it is set', () => {
  const home = freshFolder()
  const source = `
    const { Client } = require('comrade')
    process.geteuid = () => 1000
    const named = ${JSON.stringify(`sqlite:${path.join(home, 'named.db')}`)}
    new Client().getMembers().then((list) => {
      process.env.COMRADE_STORE = named
      return new Client().getMembers()
    })`
  const done = run(source, { XDG_STATE_HOME: home, COMRADE_STORE: '' })
  assert.strictEqual(done.status, 0, done.stderr)
  assert.ok(fs.existsSync(path.join(home, 'comrade', 'comrade.db')))
  assert.ok(fs.existsSync(path.join(home, 'named.db')))
})

it('says what to install where the addon cannot be built', () => {
  const installed = path.join(folder, 'node_modules', 'comrade')
  const build = (env) => spawnSync(process.execPath, [path.join(installed, 'scripts', 'install.js'), '--from-source'],
    { encoding: 'utf8', env: { ...environment, ...env } })
  const without = build({ CC: 'no-such-compiler' })
  assert.strictEqual(without.status, 1)
  assert.match(without.stderr, /there is no no-such-compiler; install a C compiler: apt-get install gcc/)
  // A compiler that finds no header.
  const blind = path.join(folder, 'cc')
  fs.writeFileSync(blind, '#!/bin/sh\ncase "$*" in *--version*) exit 0 ;; esac\nexit 1\n', { mode: 0o755 })
  assert.match(build({ CC: blind }).stderr, /apt-get install libjansson-dev libsqlite3-dev/)
})

it('says what to install where a driver cannot be had', () => {
  const modules = path.join(folder, 'node_modules', 'comrade', 'build', 'modules')
  const source = `try { new (require('comrade').Client)({ store: 'postgres://x@127.0.0.1:1/x' }) } catch (error) {
    console.log(error.code, error.message) }`
  fs.writeFileSync(path.join(modules, 'libcomrade-store-postgres.so'), 'broken')
  assert.match(run(source).stdout, /^UNSUPPORTED .*cannot be loaded.*apt-get install libpq5/)
  fs.rmSync(path.join(modules, 'libcomrade-store-postgres.so'))
  assert.match(run(source).stdout, /^UNSUPPORTED .*apt-get install libpq-dev && npm rebuild comrade/)
})
