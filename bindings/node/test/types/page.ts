// The calls of the page, with callbacks. A line below a @ts-expect-error must not be taken.
import { createServer } from 'node:http'
import { CLI, Client, Member, MemberData } from 'comrade'

const googleDataset = { projectId: 'p' }
const member = new Member({ googleDataset, role: 'app', metadata: { ip: '10.0.0.1', port: '80' } })
const server = createServer()
member.start()
member.once('shutdown', () => server.close(() => console.log('closed')))

const client = new Client({
  googleDataset,
  googleDatasetNamespace: 'staging',
  healthCheck: (memberData, callback) => callback(memberData.role === 'app' && memberData.metadata?.ip !== ''),
  roles: { app: { minMembers: 3 }, crawler: { minMembers: 0 } }
})
client.getMembers({ role: 'app', alive: true }, (error, servers) => {
  servers.forEach((data: MemberData) => console.log(error?.code, data.metadata?.ip, data.updated + 1))
})
client.killMember('id', (error) => console.log(error))
client.killOldestMember({ role: 'app' }, (error, killed) => console.log(error, killed?.id))
client.rollingKill({ role: 'app' }, (error) => console.log(error))
client.clearStaleMembers((error) => console.log(error))
client.zombifyMember('id', (error) => console.log(error))
client.createMember({ role: 'web' }).fetch((error, data) => console.log(error, data?.alive))
member.save((error) => console.log(error))
member.update(() => {})
member.reportDead(() => {})
member.stop()
new CLI({ client }).start()

// @ts-expect-error: a role is required
new Member({ googleDataset })
// @ts-expect-error: so it is here
client.killOldestMember({}, () => {})
// @ts-expect-error: an id is a string
client.killMember(5)
