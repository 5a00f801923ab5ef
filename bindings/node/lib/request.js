'use strict'
// Who asked, and why, of what the library tells of a request: "user@host (database user name)".

function requestOf({ id, by, reason, requested }) {
  const [, user, host, databaseUser] = /^(.*?)@([^ ]*)(?: \(database user (.*)\))?$/s.exec(by) || []
  const request = { id, user: user || '', host: host || '', reason, requested }
  return databaseUser === undefined ? request : { ...request, databaseUser }
}

module.exports = requestOf
