// Preloaded into a server that has no option for its host: what it would bind
// on every address, it binds on 127.0.0.1, and says where.
const net = require('node:net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (typeof args[0] === 'number' || typeof args[0] === 'string') {
    const done = args.find((a) => typeof a === 'function');
    args = [{ host: '127.0.0.1', port: Number(args[0]) }, ...(done ? [done] : [])];
  }
  this.once('listening', () => {
    const { address, port } = this.address();
    console.error(JSON.stringify({ msg: 'listening', addr: `${address}:${port}` }));
  });
  return listen.apply(this, args);
};
