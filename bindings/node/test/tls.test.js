'use strict'
// TLS inside Node.js, which exports an OpenSSL of its own: the client libraries are to meet theirs.
const assert = require('node:assert')
const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { generateKeyPairSync } = require('node:crypto')
const { once } = require('node:events')
const { after, before, describe, it } = require('node:test')
const { startDatastore } = require('./lib/servers')
const { list, makeCertificates, nodePrograms, startTlsPostgres } = require('./lib/tls')

const JEMALLOC = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/libjemalloc.so.2`
const programs = nodePrograms()
const certificates = makeCertificates()

describe('PostgreSQL', () => {
  let server

  before(async () => { server = await startTlsPostgres(certificates) })
  after(() => server?.close())

  const url = (authority) => `postgres://postgres@db.example.org:${server.port}/postgres?hostaddr=127.0.0.1` +
    `&sslmode=verify-full&sslrootcert=${path.join(certificates, authority)}`

  for (const [name, program, options] of programs) {
    it(`verify-full works, on libpq's own OpenSSL, and refuses a stranger's certificate, in ${name}`, options, async () => {
      const { stdout, stderr } = await list(program, url('ca.crt'), { env: { LD_DEBUG: 'bindings' } })
      assert.strictEqual(stdout, '0 members')
      assert.match(stderr, /binding file \S*libpq\S* \[0\] to \S*libssl\.so\S* \[0\]: normal symbol `SSL_connect'/)
      assert.match((await list(program, url('other_ca.crt'))).stdout, /^UNAVAILABLE .*certificate verify failed/)
    })
  }

  it('verify-full works with a preloaded allocator', {
    skip: !fs.existsSync(JEMALLOC) && 'libjemalloc2 is not installed'
  }, async () => {
    const env = { LD_PRELOAD: JEMALLOC }
    assert.deepStrictEqual(await list(process.execPath, url('ca.crt'), { env }), { stdout: '0 members', stderr: '' })
    assert.match((await list(process.execPath, url('other_ca.crt'), { env })).stdout, /certificate verify failed/)
  })
})

// libcurl trusts the system's authorities: those of a mount namespace of our own.
const canMount = spawnSync('unshare', ['--mount', 'true']).status === 0
describe('Datastore', { skip: !canMount && 'only root can say whom the system trusts' }, () => {
  const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
  let datastore
  let server
  let store

  before(async () => {
    datastore = await startDatastore()
    server = https.createServer({
      key: fs.readFileSync(path.join(certificates, 'server.key')),
      cert: fs.readFileSync(path.join(certificates, 'local.crt'))
    }, (req, res) => {
      if (req.url === '/token') {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify({ access_token: 'a', expires_in: 3600, token_type: 'Bearer' }))
        return
      }
      const { authorization, ...headers } = req.headers
      req.pipe(http.request(`${datastore.endpoint}${req.url}`, { method: req.method, headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers)
        answer.pipe(res)
      }))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `https://localhost:${server.address().port}`
    const credentials = path.join(certificates, 'credentials.json')
    fs.writeFileSync(credentials, JSON.stringify({
      type: 'service_account',
      project_id: 'p',
      client_email: 'a@example.org',
      private_key_id: '1',
      private_key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
        .export({ type: 'pkcs8', format: 'pem' }),
      token_uri: `${origin}/token`
    }), { mode: 0o600 })
    store = `datastore://p?endpoint=${origin}&credentials=${credentials}`
  })
  after(() => {
    server?.close()
    return datastore?.close()
  })

  for (const [name, program, options] of programs) {
    it(`https works in ${name}`, options, async () => {
      const trusting = (name) => ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"',
        path.join(certificates, name), BUNDLE]
      assert.deepStrictEqual(await list(program, store, { command: trusting('ca.crt') }),
        { stdout: '0 members', stderr: '' })
      assert.match((await list(program, store, { command: trusting('other_ca.crt') })).stdout,
        /^UNAVAILABLE .*certificate/)
    })
  }
})
