'use strict'
// Builds the addon, with the library inside, and the drivers whose client libraries are there. What
// is needed: a C compiler with binutils, the headers of Node.js, and of jansson and SQLite.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { execFile, spawnSync } = require('node:child_process')
const { promisify } = require('node:util')
const { findHeaders } = require('./headers')

const PACKAGE = path.join(__dirname, '..')
// In a package the library's sources come along; in the repository they are where they are.
const LIBRARY = [path.join(PACKAGE, 'deps'), path.join(PACKAGE, '..', '..')]
  .find((folder) => fs.existsSync(path.join(folder, 'include', 'comrade.h')))

const CC = process.env.CC || 'cc'
const LD = process.env.LD || 'ld'
const OBJCOPY = process.env.OBJCOPY || 'objcopy'
const FLAGS = ['-std=gnu11', '-O2', '-g0', '-fPIC', '-fvisibility=hidden', '-fno-strict-aliasing', '-D_GNU_SOURCE',
  ...(process.env.CFLAGS ?? '').split(/\s+/).filter(Boolean)]
const LAYERS = ['base', 'core', 'store', 'store/memory', 'store/sqlite', 'cluster']

// What the addon cannot do without: a header, how to link it, and the packages that bring it.
const NEEDED = [
  { header: 'jansson.h', link: ['-ljansson'], archive: 'libjansson.a', package: 'libjansson-dev', pkg: 'jansson' },
  { header: 'sqlite3.h', link: ['-lsqlite3'], archive: 'libsqlite3.a', package: 'libsqlite3-dev', pkg: 'sqlite3' }
]

// To add a driver: a row here, and its hint in lib/store.js.
const DRIVERS = [
  { name: 'postgres', headers: ['libpq-fe.h'], pkgs: ['libpq'], package: 'libpq-dev' },
  { name: 'datastore', headers: ['curl/curl.h', 'openssl/evp.h'], pkgs: ['libcurl', 'libcrypto'],
    package: 'libcurl4-openssl-dev libssl-dev' }
]

class BuildError extends Error {}

// --- What is there ---

function pkgConfig(pkgs, what) {
  const done = spawnSync('pkg-config', [what, ...pkgs], { encoding: 'utf8' })
  return done.status === 0 ? done.stdout.trim().split(/\s+/).filter(Boolean) : null
}

// The flags to compile and to link with; what pkg-config does not know is taken as it is.
function flagsOf(pkgs) {
  return {
    compile: pkgConfig(pkgs, '--cflags') ?? ['-I/usr/include/postgresql'],
    link: pkgConfig(pkgs, '--libs') ?? pkgs.map((pkg) => `-l${pkg.replace(/^lib/, '')}`)
  }
}

function hasHeaders(headers, flags) {
  const source = headers.map((header) => `#include <${header}>\n`).join('')
  return spawnSync(CC, [...flags, '-xc', '-fsyntax-only', '-'], { input: source, stdio: ['pipe', 'ignore', 'ignore'] })
    .status === 0
}

function checkTools() {
  for (const tool of [CC, LD, OBJCOPY]) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0) {
      throw new BuildError(`there is no ${tool}; install a C compiler: apt-get install gcc libc6-dev`)
    }
  }
  const includes = findHeaders()
  if (!includes) {
    throw new BuildError('the headers of Node.js (node_api.h, uv.h) are not there: apt-get install libnode-dev')
  }
  const missing = NEEDED.filter(({ header, pkg }) => !hasHeaders([header], flagsOf([pkg]).compile))
  if (missing.length > 0) {
    throw new BuildError(`${missing.map(({ header }) => header).join(' and ')} not found: apt-get install ` +
      missing.map((need) => need.package).join(' '))
  }
  return includes
}

// --- Compiling ---

async function run(program, args) {
  try {
    await promisify(execFile)(program, args, { maxBuffer: 16 << 20 })
  } catch (error) {
    throw new BuildError(`${program} ${args.join(' ')}\n${error.stderr || error.message}`)
  }
}

function sourcesIn(folder) {
  return fs.readdirSync(folder).filter((name) => name.endsWith('.c')).map((name) => path.join(folder, name))
}

// Compiles all of them, as many at once as there are processors; returns the objects.
async function compile(sources, folder, flags) {
  fs.mkdirSync(folder, { recursive: true })
  const jobs = sources.map((source) => [source, path.join(folder, source.replace(/[^a-z0-9]+/gi, '_') + '.o')])
  const waiting = [...jobs]
  async function work() {
    for (let job; (job = waiting.pop());) {
      await run(CC, [...FLAGS, ...flags, '-c', job[0], '-o', job[1]])
    }
  }
  await Promise.all(Array.from({ length: os.cpus().length }, work))
  return jobs.map(([, object]) => object)
}

const includesOf = (folders) => folders.map((folder) => `-I${folder}`)
const layer = (name) => sourcesIn(path.join(LIBRARY, 'src', name))
const own = includesOf([path.join(LIBRARY, 'src'), path.join(LIBRARY, 'include')])

// One object whose hidden names are nobody else's.
async function buildLibrary(work) {
  const flags = [...own, '-DCOMRADE_MODULE_DIR=""', '-DCOMRADE_MODULE_DIR_FROM_PROGRAM="modules"',
    ...flagsOf(NEEDED.map(({ pkg }) => pkg)).compile]
  const objects = await compile(LAYERS.flatMap(layer), work, flags)
  const whole = path.join(work, 'comrade.o')
  await run(LD, ['-r', '-o', whole, ...objects])
  await run(OBJCOPY, ['--localize-hidden', whole])
  return whole
}

// Static archives, made fit for a shared object: the system's are compiled for programs, and the one
// thing that stands in the way is that jansson looks at stdin, for a function that nobody calls here.
async function archivesOf(needed, work) {
  const stdin = path.join(work, 'stdin.c')
  fs.writeFileSync(stdin, 'void *comrade_no_stdin;\n')
  const objects = await compile([stdin], work, [])
  for (const { archive } of needed) {
    const from = spawnSync(CC, [`-print-file-name=${archive}`], { encoding: 'utf8' }).stdout.trim()
    const to = path.join(work, archive)
    await run(OBJCOPY, ['--redefine-sym', 'stdin=comrade_no_stdin', from, to])
    objects.push(to)
  }
  return objects
}

async function linkNeeded(needed, work, isStatic) {
  return isStatic ? archivesOf(needed, work) : needed.flatMap((need) => need.link)
}

async function link(output, objects, map, libraries) {
  await run(CC, ['-shared', '-o', output, ...objects, `-Wl,--version-script=${map}`, '-Wl,--gc-sections', '-s',
    ...libraries, '-lpthread', '-ldl', '-lm'])
}

async function buildAddon(work, target, includes, isStatic) {
  const library = await buildLibrary(path.join(work, 'library'))
  const objects = await compile(sourcesIn(path.join(PACKAGE, 'src')), path.join(work, 'addon'),
    [...includesOf([path.join(LIBRARY, 'include'), ...includes]), '-DNAPI_VERSION=8'])
  await link(path.join(target, 'comrade.node'), [...objects, library], path.join(PACKAGE, 'src', 'addon.map'),
    await linkNeeded(NEEDED, work, isStatic))
}

// False: its client library is not there, which is no error until somebody names such a store.
async function buildDriver(driver, work, target, isStatic) {
  const flags = flagsOf(driver.pkgs)
  if (!hasHeaders(driver.headers, flags.compile)) {
    return false
  }
  const objects = await compile(['base', 'core', `store/${driver.name}`].flatMap(layer), path.join(work, driver.name),
    [...own, ...flags.compile])
  const modules = path.join(target, 'modules')
  fs.mkdirSync(modules, { recursive: true })
  await link(path.join(modules, `libcomrade-store-${driver.name}.so`), objects,
    path.join(LIBRARY, 'src', 'module.map'), [...await linkNeeded(NEEDED.slice(0, 1), work, isStatic),
      ...flags.link])
  return true
}

async function build(target, { isStatic = false } = {}) {
  const includes = checkTools()
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'comrade-build-'))
  fs.mkdirSync(target, { recursive: true })
  try {
    await buildAddon(work, target, includes, isStatic)
    for (const driver of DRIVERS) {
      const isThere = fs.existsSync(path.join(LIBRARY, 'src', 'store', driver.name))
      if (isThere && !await buildDriver(driver, work, target, isStatic)) {
        console.log(`comrade: without the driver for ${driver.name}:, which needs: apt-get install ${driver.package}`)
      }
    }
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

module.exports = { build, BuildError, LIBRARY, PACKAGE, LAYERS, DRIVERS }
