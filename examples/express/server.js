// An express app that others find, and that leaves without losing a request.
//     PORT=8080 node server.js          and, elsewhere: comrade kill-oldest --role express
const express = require('express')
const { Client, Member, gracefulShutdown, healthHandler } = require('comrade')

const member = new Member({ role: 'express', metadata: { ip: process.env.IP || '127.0.0.1' } })
const app = express()
app.use(healthHandler(member))

// Whoever is asked tells who else could have been.
const watch = new Client().watch({ role: 'express', alive: true, healthy: true })
watch.on('error', (error) => console.error(error.message))
app.get('/', (req, res) => {
  res.json({ me: member.id, all: (watch.members || []).map(({ id, metadata }) => ({ id, ...metadata })) })
})

const server = app.listen(process.env.PORT || 0, () => {
  member.metadata.port = server.address().port
  member.start().then(() => console.log(`${member.id} listens on ${member.metadata.port}`), console.error)
})

member.once('shutdown', ({ user, host, reason }) => console.log(`asked to leave by ${user}@${host}: ${reason || 'no reason'}`))
gracefulShutdown(server, member, { delay: Number(process.env.DELAY || 5000), signals: ['SIGTERM', 'SIGINT'] }).then(() => {
  console.log('all requests are answered')
  watch.close()
})
