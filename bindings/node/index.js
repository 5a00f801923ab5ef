'use strict'

module.exports = {
  Member: require('./lib/member'),
  Client: require('./lib/client'),
  // Loaded by those who want it: a service has no prompt.
  get CLI() { return require('./lib/cli') },
  gracefulShutdown: require('./lib/graceful'),
  healthHandler: require('./lib/health'),
  version: require('./lib/binding').version
}
