// Who receives a push: devices, event streams and polls.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { address, curl, numbers, scene, thorough, until } from './harness.js';

scene('both devices of a user receive a push, and another user’s does not', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const laptop = await play.device('alice', 'laptop');
    const other = await play.device('bob', 'phone');

    const report = await server.push('alice', 'for alice');
    assert.equal(report.delivered, 2);
    assert.equal(report.dropped, 0);
    await phone.shows('for alice');
    await laptop.shows('for alice');

    assert.equal((await server.push('bob', 'for bob')).delivered, 1);
    await other.shows('for bob');
    assert.deepEqual(await other.messages(), ['for bob']);
    assert.deepEqual(await phone.messages(), ['for alice']);
});

scene('a push to nobody is delivered to nobody', async (play, server) => {
    assert.equal((await server.push('nobody', 'hello?')).delivered, 0);
});

scene('a push leaves out the device it excepts', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const laptop = await play.device('alice', 'laptop');
    assert.equal((await server.push('alice', 'not for the phone', { except: 'phone' })).delivered, 1);
    assert.equal((await server.push('alice', 'for all')).delivered, 2);
    await phone.shows('for all');
    await laptop.shows('for all');
    assert.deepEqual(await phone.messages(), ['for all']);
    assert.deepEqual(await laptop.messages(), ['not for the phone', 'for all']);
});

scene('the page pushes to all devices of its user, or to all others', async (play) => {
    const phone = await play.device('alice', 'phone');
    const laptop = await play.device('alice', 'laptop');
    await phone.page.fill('#text', 'to all');
    await phone.page.click('#send');
    await phone.shows('to all');
    await laptop.shows('to all');
    await until('the outcome is told', async () => await phone.text('#outcome') === 'Delivered to 2 devices');
    assert.equal(await phone.page.inputValue('#text'), '');

    await phone.page.check('#except');
    await phone.page.fill('#text', 'to the others');
    await phone.page.click('#send');
    await laptop.shows('to the others');
    await until('the outcome is told', async () => await phone.text('#outcome') === 'Delivered to 1 device');
    assert.deepEqual(await phone.messages(), ['to all']);
});

scene('an open page shows each of many messages once, in order', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.pushAll('alice', numbers(1, 290));
    await phone.shows('290');
    assert.deepEqual(await phone.messages(), numbers(1, 290));
    assert.equal(await phone.figure('received'), 290);
    assert.equal(await phone.figure('lost'), 0);
});

scene('a page reloaded while messages are pushed misses none and doubles none', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const laptop = await play.device('alice', 'laptop');
    const last = 290;
    let pushed = 0;
    const pushing = (async () => {
        for (const text of numbers(1, last)) {
            await server.pushAll('alice', [text]);
            pushed++;
        }
    })();
    const reloads = thorough ? 12 : 4;
    for (let reload = 1; reload <= reloads; reload++) {
        await until('some were pushed', () => pushed >= (reload * last) / (reloads + 2));
        await laptop.page.reload();
    }
    await pushing;
    await phone.shows(String(last));
    await laptop.shows(String(last));
    assert.deepEqual(await phone.messages(), numbers(1, last));
    assert.deepEqual((await laptop.rows()).filter((row) => /^\d+$/.test(row)), numbers(1, last));
    assert.equal(await laptop.figure('received'), last);
    assert.equal(await laptop.figure('lost'), 0);
});

scene('an event stream in a page receives the messages', async (play, server) => {
    const page = await play.page();
    await page.goto(`${server.url}/`);
    await page.evaluate((url) => {
        window.heard = [];
        const source = new EventSource(url);
        source.onopen = () => { window.opened = true; };
        source.onmessage = ({ data, lastEventId }) => window.heard.push([lastEventId, JSON.parse(data).text]);
    }, address('/events', { user: 'alice', device: 'stream' }));
    await until('the stream is open', () => page.evaluate(() => window.opened));
    const first = await server.push('alice', 'one');
    const second = await server.push('alice', 'two\nlines');
    assert.equal(first.delivered, 1);
    await until('both arrived', () => page.evaluate(() => window.heard.length === 2));
    const { boot } = await server.stats();
    assert.deepEqual(await page.evaluate(() => window.heard),
        [[`${boot}-${first.id}`, 'one'], [`${boot}-${second.id}`, 'two\nlines']]);
});

scene('an event stream read by curl receives the messages', async (play, server) => {
    const stream = spawn('curl', ['--silent', '--no-buffer', '--max-time', '30',
        server.url + address('/events', { user: 'alice', device: 'curl' })], { stdio: ['ignore', 'pipe', 'inherit'] });
    let heard = '';
    stream.stdout.on('data', (data) => { heard += data; });
    await until('the stream is connected', async () => (await server.stats()).connected === 1);
    const { id } = await server.push('alice', 'streamed');
    await until('it arrived', () => heard.includes('streamed'));
    stream.kill();
    await once(stream, 'exit');
    const [, eventId, data] = /^id: [0-9a-f]+-(\d+)\ndata: (.*)\n\n/m.exec(heard);
    assert.equal(Number(eventId), id);
    assert.deepEqual(Object.keys(JSON.parse(data)).sort(), ['boot', 'id', 'text', 'time']);
    assert.equal(JSON.parse(data).text, 'streamed');
});

scene('a long poll waits for a message, and the next begins where it ended', async (play, server) => {
    const poll = async (names) => JSON.parse(await curl(server.url + address('/poll', { user: 'alice', device: 'poller', ...names })));
    const waiting = poll({ wait: 20 });
    await until('the poll waits', async () => (await server.stats()).connected === 1);
    await server.push('alice', 'first');
    const { messages: [first] } = await waiting;
    assert.equal(first.text, 'first');

    await server.push('alice', 'second');
    const { messages: [second] } = await poll({ wait: 20 });
    assert.equal(second.text, 'second');
    assert.ok(second.id > first.id);
    assert.deepEqual((await poll({ wait: 0 })).messages, []);
});

scene('a page, an event stream and a poll of one user all receive a push', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await phone.page.evaluate((url) => {
        new EventSource(url).onmessage = ({ data }) => { window.heard = JSON.parse(data).text; };
    }, address('/events', { user: 'alice', device: 'stream' }));
    const poll = curl(server.url + address('/poll', { user: 'alice', device: 'poller', wait: 20 }));
    await until('all are connected', async () => (await server.stats()).connected === 3);
    assert.equal((await server.push('alice', 'three ways')).delivered, 3);
    await phone.shows('three ways');
    await until('the stream has it', () => phone.page.evaluate(() => window.heard === 'three ways'));
    assert.equal(JSON.parse(await poll).messages[0].text, 'three ways');
});
