'use strict'
// Finds the addon: the one that was built here, or the one that was packed for this machine.
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')

function candidates() {
  return [
    process.env.COMRADE_ADDON,
    path.join(root, 'build', 'comrade.node'),
    path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'comrade.node')
  ].filter(Boolean)
}

function load() {
  const file = candidates().find((candidate) => fs.existsSync(candidate))
  if (!file) {
    const error = new Error(`comrade: there is no addon for ${process.platform}-${process.arch}; ` +
      `build it with: node ${path.join(root, 'scripts', 'install.js')}`)
    error.code = 'UNSUPPORTED'
    throw error
  }
  return require(path.resolve(file))
}

const binding = load()

// process.exit() of the main thread runs nothing else of ours, and the library's threads must be
// gone before what they use is. A worker has its end told to the addon, which knows of it.
process.on('exit', () => binding.leaveAll())

module.exports = binding
