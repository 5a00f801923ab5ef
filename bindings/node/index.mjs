import comrade from './index.js'

export const { Member, Client, CLI, gracefulShutdown, healthHandler, version } = comrade
export default comrade
