'use strict'
// prebuild.js [ARCHITECTURE]: builds what is packed for machines of a kind (this one's; the other's with
// what arm64-tools says), so that `npm install` needs no compiler there: jansson and SQLite inside,
// libpq and libcurl from the system.
const path = require('node:path')
const { build, BuildError, PACKAGE } = require('./build')

const kind = `${process.platform}-${process.argv[2] || process.arch}`
build(path.join(PACKAGE, 'prebuilds', kind), { isStatic: true }).catch((error) => {
  console.error(error instanceof BuildError ? `comrade: ${error.message}` : error)
  process.exitCode = 1
})
