'use strict'
// What TypeScript thinks of programs that use the package.
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { it } = require('node:test')
const { freshFolder } = require('./lib/comrade')

const TSC = path.join(__dirname, 'node_modules', 'typescript', 'bin', 'tsc')

// As if the package had been installed beside them, so that its package.json says which types are whose.
const folder = freshFolder()
fs.cpSync(path.join(__dirname, 'types'), folder, { recursive: true })
fs.mkdirSync(path.join(folder, 'node_modules'))
fs.symlinkSync(path.join(__dirname, '..'), path.join(folder, 'node_modules', 'comrade'))
fs.symlinkSync(path.join(__dirname, 'node_modules', '@types'), path.join(folder, 'node_modules', '@types'))

it('programs in the shapes of the page, and in the modern ones, are taken', () => {
  const done = spawnSync(process.execPath, [TSC, '--project', folder], { encoding: 'utf8' })
  assert.strictEqual(done.status, 0, done.stdout)
})
