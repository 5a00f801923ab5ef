// A plain HTTP server. It knows nothing of Comrade: no import, no signal handler, no shutdown code.
//   /            answers at once
//   /slow        answers after 2 s; /slow?ms=500 after half a second
'use strict';
const http = require('node:http');

const port = Number(process.env.PORT || 8080);

function answer(request, response) {
    const text = `hello from process ${process.pid} on port ${port}\n`;
    const url = new URL(request.url, 'http://localhost');
    const delay = url.pathname === '/slow' ? Number(url.searchParams.get('ms') ?? 2000) : 0;
    setTimeout(() => {
        response.setHeader('Content-Type', 'text/plain');
        response.setHeader('Content-Length', Buffer.byteLength(text));
        response.end(text);
    }, delay);
}

const server = http.createServer(answer);
server.keepAliveTimeout = 60_000;
server.listen(port, () => console.log(`listening on port ${port}`));
