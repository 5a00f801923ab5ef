'use strict'
// What the tests of TLS need: certificates, a PostgreSQL server that has one, and the releases of
// Node.js that npm has installed beside the one that runs this.
const fs = require('node:fs')
const path = require('node:path')
const { execFile, execFileSync } = require('node:child_process')
const { promisify } = require('node:util')
const { freshFolder, ROOT } = require('./comrade')
const { startPostgres } = require('./servers')

const PACKAGE = path.join(__dirname, '..', '..')

// The folder of what certificates.sh makes: ca, other_ca, server (db.example.org); and local, for
// localhost, signed by ca.
function makeCertificates() {
  const folder = freshFolder()
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  execFileSync('sh', [path.join(ROOT, 'tests', 'lib', 'certificates.sh'), folder])
  fs.writeFileSync(path.join(folder, 'local.ext'), 'subjectAltName=DNS:localhost')
  openssl('req', '-new', '-key', 'server.key', '-subj', '/CN=localhost', '-out', 'local.csr')
  openssl('x509', '-req', '-in', 'local.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
    '-extfile', 'local.ext', '-out', 'local.crt')
  return folder
}

// As startPostgres(), with TLS. The key must be the server's own, or it refuses it.
async function startTlsPostgres(certificates) {
  const server = await startPostgres()
  if (server === null) {
    return null
  }
  const data = path.join(server.folder, 'data')
  const { uid, gid } = fs.statSync(path.join(data, 'PG_VERSION'))
  for (const name of ['server.crt', 'server.key']) {
    fs.copyFileSync(path.join(certificates, name), path.join(data, name))
    fs.chownSync(path.join(data, name), uid, gid)
    fs.chmodSync(path.join(data, name), 0o600)
  }
  fs.appendFileSync(path.join(data, 'postgresql.conf'), 'ssl = on\n')
  await server.order('down fast')
  await server.order('up')
  return server
}

// [name, path, options of its test] of each program: this one, and those of the versions that npm has
// for this machine, which only some have fetched.
function nodePrograms() {
  const others = [18, 20, 22].map((version) => {
    const file = path.join(__dirname, '..', 'node_modules', `node-${version}`, 'bin', 'node')
    return [`upstream's ${version}`, file, { skip: !fs.existsSync(file) && './dev versions node fetches it' }]
  })
  return [['this one', process.execPath, {}], ...others]
}

// Opens the store with that program, and lists; {stdout: 'N members' or the error, stderr}.
async function list(program, store, { command = [], env = {} } = {}) {
  const source = `new (require(${JSON.stringify(PACKAGE)}).Client)({ store: process.argv[1] }).getMembers({})
    .then((members) => console.log(members.length, 'members'), ({ code, message }) => console.log(code, message))`
  const [file, ...args] = [...command, program, '-e', source, '--', store]
  const { stdout, stderr } = await promisify(execFile)(file, args,
    { timeout: 60000, maxBuffer: 64 << 20, env: { ...process.env, ...env } })
  return { stdout: stdout.trim(), stderr }
}

module.exports = { list, makeCertificates, nodePrograms, startTlsPostgres }
