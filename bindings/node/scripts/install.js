'use strict'
// What `npm install` runs: takes the addon that was packed for this machine, or builds it.
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { build, BuildError, PACKAGE } = require('./build')

// Tried in a process of its own, so that one that does not fit harms nothing.
function hasPrebuilt() {
  const file = path.join(PACKAGE, 'prebuilds', `${process.platform}-${process.arch}`, 'comrade.node')
  return spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file], { stdio: 'ignore' }).status === 0
}

async function main() {
  if (!process.argv.includes('--from-source') && !process.env.npm_config_build_from_source && hasPrebuilt()) {
    return
  }
  console.log(`comrade: building the addon for ${process.platform}-${process.arch}`)
  await build(path.join(PACKAGE, 'build'))
}

main().catch((error) => {
  console.error(error instanceof BuildError ? `comrade: cannot build the addon: ${error.message}` : error)
  process.exitCode = 1
})
