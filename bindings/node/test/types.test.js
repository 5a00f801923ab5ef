'use strict'
// What TypeScript thinks of programs that use the package.
const assert = require('node:assert')
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { it } = require('node:test')
require('./lib/comrade')

const TSC = path.join(__dirname, 'node_modules', 'typescript', 'bin', 'tsc')

function compile(name) {
  return spawnSync(process.execPath, [TSC, '--project', path.join(__dirname, 'types', name)], { encoding: 'utf8' })
}

it('programs in the shapes of the page, and in the modern ones, are taken', () => {
  const done = compile('tsconfig.json')
  assert.strictEqual(done.status, 0, done.stdout)
})
