'use strict'

module.exports = {
  Member: require('./lib/member'),
  Client: require('./lib/client'),
  CLI: require('./lib/cli'),
  gracefulShutdown: require('./lib/graceful'),
  healthHandler: require('./lib/health'),
  version: require('./lib/binding').version
}
