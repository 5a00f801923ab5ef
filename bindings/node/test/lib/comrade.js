'use strict'
// The package as it was built, and what its tests share. Loaded before the package.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')

const ROOT = path.join(__dirname, '..', '..', '..', '..')
const BUILD = process.env.COMRADE_BUILD_DIR || path.join(ROOT, 'build')
process.env.COMRADE_ADDON ??= path.join(BUILD, 'node', 'comrade.node')
process.env.COMRADE_MODULE_PATH ??= path.join(BUILD, 'modules')

const comrade = require('../..')
const HANG_MS = 30 * 1000

let counter = 0
const fresh = (name) => `${name}-${process.pid}-${counter++}`

const folders = []
process.on('exit', () => folders.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true })))

// A folder that is gone when the process is.
function freshFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'comrade-node-'))
  folders.push(folder)
  return folder
}

function sqliteStore() {
  return `sqlite:${path.join(freshFolder(), 'comrade.db')}`
}

// Of a program that is not Node: what is preloaded is for the addon.
function foreignEnvironment() {
  const { LD_PRELOAD, ...environment } = process.env
  return environment
}

// Runs SQL on a store that sqliteStore() has named.
function runSql(store, sql) {
  execFileSync('/usr/bin/python3', ['-c', `
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=20) as database:
    database.executescript(sys.argv[2])`, store.slice('sqlite:'.length), sql], { env: foreignEnvironment() })
}

// Waits until `holds` returns something true, and returns it.
async function until(holds) {
  for (const end = Date.now() + HANG_MS; Date.now() < end;) {
    const value = await holds()
    if (value) {
      return value
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`still not so: ${holds}`)
}

// Runs a program in a process of its own; resolves with {code, signal, stdout, stderr}.
async function runProgram(source, { args = [], env = {}, input = '', flags = [] } = {}) {
  const child = spawn(process.execPath, [...flags, '-e', source, '--', ...args], {
    env: { ...process.env, ...env, COMRADE_PACKAGE: path.join(__dirname, '..', '..') },
    stdio: ['pipe', 'pipe', 'pipe']
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => { output[name] += text })
  }
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const timer = setTimeout(() => child.kill('SIGKILL'), HANG_MS)
  const [code, signal] = await once(child, 'close')
  clearTimeout(timer)
  return { code, signal, ...output }
}

module.exports = { ...comrade, comrade, BUILD, ROOT, fresh, foreignEnvironment, freshFolder, sqliteStore, runSql, until, runProgram }
