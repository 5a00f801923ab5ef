'use strict'
// Before `npm pack`: copies the library's sources into the package, where scripts/build.js looks for
// them. With --clean, removes them again.
const fs = require('node:fs')
const path = require('node:path')

const PACKAGE = path.join(__dirname, '..')
const ROOT = path.join(PACKAGE, '..', '..')
const DEPS = path.join(PACKAGE, 'deps')
const FOLDERS = ['include', 'src/base', 'src/core', 'src/store', 'src/cluster']
const FILES = ['src/module.map']

fs.rmSync(DEPS, { recursive: true, force: true })
if (!process.argv.includes('--clean')) {
  const isSource = (file) => fs.statSync(file).isDirectory() || /\.[ch]$/.test(file)
  for (const folder of FOLDERS) {
    fs.cpSync(path.join(ROOT, folder), path.join(DEPS, folder), { recursive: true, filter: isSource })
  }
  for (const file of FILES) {
    fs.copyFileSync(path.join(ROOT, file), path.join(DEPS, file))
  }
}
