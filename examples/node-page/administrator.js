// Every call of the original's client, with callbacks, one after the other.
//     node administrator.js ROLE
const http = require('http')
const { Client } = require('comrade')

const role = process.argv[2] || 'app'

const client = new Client({
  roles: { [role]: { minMembers: 1 } },
  healthCheck: function (memberData, callback) {
    const url = 'http://' + memberData.metadata.ip + ':' + memberData.metadata.port + '/comrade_health_check'
    http.get(url, function (res) {
      let body = ''
      res.on('data', function (text) { body += text })
      res.on('end', function () { callback(JSON.parse(body).id === memberData.id) })
    }).on('error', function () { callback(false) })
  }
})

function check(error) {
  if (error) {
    console.error(error.code + ': ' + error.message)
    process.exit(1)
  }
}

client.getMembers({ role: role, alive: true, healthy: true, stale: false }, function (error, members) {
  check(error)
  members.forEach(function (member) { console.log('answers: ' + member.id) })
  client.killMember('nobody', function (error) {
    console.log('nobody: ' + error.code)
    client.killOldestMember({ role: role }, function (error, killed) {
      check(error)
      console.log('oldest: ' + (killed ? killed.id : 'is needed'))
      client.zombifyMember(members[members.length - 1].id, function (error) {
        check(error)
        client.clearStaleMembers(function (error, cleared) {
          check(error)
          console.log('cleared: ' + cleared.length)
          client.rollingKill({ role: 'other-' + role }, function (error) {
            check(error)
            console.log('done')
          })
        })
      })
    })
  })
})
