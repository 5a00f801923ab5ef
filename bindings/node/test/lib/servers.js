'use strict'
// Real servers of the tests' own; a keeper ends each with this process.
const path = require('node:path')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { createInterface } = require('node:readline')
const { ROOT, foreignEnvironment } = require('./comrade')

class Keeper {
  constructor(program) {
    this.child = spawn('/usr/bin/python3', [path.join(ROOT, 'tests', 'lib', program)],
      { stdio: ['pipe', 'pipe', 'inherit'], env: foreignEnvironment() })
    this.lines = createInterface({ input: this.child.stdout })
  }

  async answer() {
    const [line] = await once(this.lines, 'line')
    return line.split(' ')
  }

  async order(command) {
    this.child.stdin.write(`${command}\n`)
    const [word, ...rest] = await this.answer()
    if (word !== 'ok') {
      throw new Error(`${command}: ${rest.join(' ')}`)
    }
  }

  async close() {
    this.child.stdin.end()
    await once(this.child, 'exit')
  }
}

// {url, order(command), close()}, or null where there is no such server on this machine.
async function startPostgres() {
  const keeper = new Keeper('postgres_server.py')
  const [word, port, folder] = await keeper.answer()
  if (word !== 'ready') {
    return null
  }
  keeper.folder = folder
  keeper.port = port
  keeper.url = `postgres://postgres@127.0.0.1:${port}/postgres`
  return keeper
}

// One that speaks as Google's Datastore: {endpoint, order(command), close()}.
async function startDatastore() {
  const keeper = new Keeper('datastore_server.py')
  const [, port] = await keeper.answer()
  keeper.endpoint = `http://127.0.0.1:${port}`
  return keeper
}

module.exports = { startDatastore, startPostgres }
