// A service in the shapes of the original's page: callbacks, and a drain done by hand.
//     node service.js          the role is SERVER_ROLE, the port LISTEN_PORT
const http = require('http')
const { Member } = require('comrade')

const DRAIN_MS = Number(process.env.DRAIN || 30000)

const server = http.createServer(function (req, res) {
  if (req.url === '/comrade_health_check') {
    res.setHeader('Content-Type', 'application/json')
    res.end(JSON.stringify({ id: member.id }))
    return
  }
  setTimeout(function () { res.end('done') }, 20)
})

const member = new Member({
  role: process.env.SERVER_ROLE || 'app',
  metadata: { ip: process.env.PUBLIC_IPV4 || '127.0.0.1', port: process.env.LISTEN_PORT || '8080' }
})

server.listen(member.metadata.port, function () {
  member.start()
  member.fetch(function (error, data) {
    console.log(error ? error.message : data ? 'was here before' : 'is new here')
  })
})

member.once('shutdown', function () {
  console.log('off the list; still answering for ' + DRAIN_MS + ' ms')
  setTimeout(function () {
    const timer = setInterval(function () {
      server.getConnections(function (error, count) { console.log('waiting for ' + count + ' connections') })
    }, 1000)
    server.close(function () {
      clearInterval(timer)
      console.log('left')
    })
  }, DRAIN_MS)
})
