// The same with fastify, as an ES module, and with a health check of its own.
//     PORT=8080 node server.mjs
import Fastify from 'fastify'
import { Client, Member, gracefulShutdown } from 'comrade'

const app = Fastify()
const member = new Member({ role: 'fastify', metadata: { ip: process.env.IP || '127.0.0.1' } })

app.get('/comrade_health_check', async () => ({ id: member.id }))
app.get('/', async () => ({ me: member.id, healthy: (await client.getMembers({ healthy: true })).map(({ id }) => id) }))

// Healthy is who answers with its own id.
const client = new Client({
  roles: { fastify: { minMembers: 1 } },
  async healthCheck({ id, metadata }) {
    const answer = await fetch(`http://${metadata.ip}:${metadata.port}/comrade_health_check`)
    return (await answer.json()).id === id
  }
})

await app.listen({ port: Number(process.env.PORT || 0), host: '0.0.0.0' })
member.metadata.port = app.server.address().port
const left = gracefulShutdown(app, member, { delay: Number(process.env.DELAY || 5000), signals: ['SIGTERM', 'SIGINT'] })
await member.start()
console.log(`${member.id} listens on ${member.metadata.port}`)
await left
console.log('all requests are answered')
