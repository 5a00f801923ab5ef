'use strict'
// Where the headers of Node-API and of libuv are: beside the node that runs this, as upstream's
// archives have them, where Debian's libnode-dev puts them, or where npm's own cache has them.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const NEEDED = ['node_api.h', 'uv.h']

function candidates() {
  const beside = path.join(path.dirname(fs.realpathSync(process.execPath)), '..', 'include', 'node')
  const cache = path.join(os.homedir(), '.cache', 'node-gyp', process.versions.node, 'include', 'node')
  return [process.env.npm_config_nodedir && path.join(process.env.npm_config_nodedir, 'include', 'node'),
    beside, '/usr/include/node', '/usr/include/nodejs/src', cache, '/usr/include'].filter(Boolean)
}

// The folders to include, or null where something is not there. Every compiler knows /usr/include.
function findHeaders() {
  const folders = NEEDED.map((name) => candidates().find((folder) => fs.existsSync(path.join(folder, name))))
  return folders.includes(undefined) ? null : [...new Set(folders)].filter((folder) => folder !== '/usr/include')
}

module.exports = { findHeaders }

if (require.main === module) {
  const folders = findHeaders()
  if (!folders) {
    console.error('The headers of Node.js are not there; install them with: apt-get install libnode-dev')
    process.exit(1)
  }
  console.log(folders.join(';'))
}
