export * from './index.js'
import * as comrade from './index.js'
export default comrade
