'use strict'
// Builds what is packed for this machine's kind, so that `npm install` needs no compiler there:
// jansson and SQLite inside, libpq and libcurl from the system.
const path = require('node:path')
const { build, BuildError, PACKAGE } = require('./build')

build(path.join(PACKAGE, 'prebuilds', `${process.platform}-${process.arch}`), { isStatic: true }).catch((error) => {
  console.error(error instanceof BuildError ? `comrade: ${error.message}` : error)
  process.exitCode = 1
})
