// The modern forms: promises, iterators, the helpers.
import { createServer } from 'node:http'
import comrade = require('comrade')
import { Client, Member, gracefulShutdown, healthHandler } from 'comrade'

async function main(): Promise<void> {
  const client = new Client({ store: 'sqlite:/tmp/x', healthCheck: async ({ healthy }) => healthy })
  const member: Member = client.createMember({ role: 'app' })
  member.on('shutdown', ({ user, host, reason, requested }) => console.log(user, host, reason, requested + 1))
  member.on('error', ({ code }) => console.log(code))
  await member.start()
  const [first] = await client.getMembers({ role: 'app', details: true, where: { zone: 'x', port: 80 } })
  console.log(first.host, first.pid, first.request?.reason)
  const killed = await client.killOldestMember({ role: 'app', reason: 'deploy', strict: true })
  console.log(killed?.id)
  await client.setRole('app', { minMembers: 2 })
  const { minMembers, available } = await client.getRole('app')
  console.log((minMembers ?? 0) + available)
  for await (const members of client.watch({ role: 'app' })) {
    console.log(members.length)
  }
  const server = createServer((req, res) => healthHandler(member)(req, res) || res.end())
  await gracefulShutdown(server, member, { delay: 1000, timeout: 5000, signals: ['SIGTERM'] })
  console.log(comrade.version)
}

main()
