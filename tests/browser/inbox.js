// The page of a device: what is unread, what comes from outside, the form, the keyboard.

import assert from 'node:assert/strict';
import { address, numbers, scene, until } from './harness.js';

const title = (device, expected) => until(`the title is ${expected}`, async () => await device.page.title() === expected);

// What a page sees when its tab is in the background, or in front again.
const setHidden = (page, hidden) => page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
    document.dispatchEvent(new Event('visibilitychange'));
}, hidden ? 'hidden' : 'visible');

scene('what arrives in a tab that nobody looks at is unread until somebody does', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.push('alice', 'seen at once');
    await phone.shows('seen at once');
    await title(phone, 'alice · phone');

    await setHidden(phone.page, true);
    await server.pushAll('alice', numbers(1, 3));
    await title(phone, '(3) alice · phone');
    assert.equal(await phone.figure('unread'), 3);
    assert.equal(await phone.page.locator('#items .unread').count(), 3);

    await setHidden(phone.page, false);
    await title(phone, 'alice · phone');
    assert.equal(await phone.figure('unread'), 0);
});

scene('what arrives below the messages that are read is unread until scrolled to', async (play, server) => {
    const phone = await play.device('alice', 'phone', { viewport: { width: 390, height: 844 } });
    await server.pushAll('alice', numbers(1, 40));
    await phone.shows('40');
    await until('the newest shows', () => phone.page.locator('#items li:last-child').evaluate((row) =>
        row.getBoundingClientRect().bottom <= document.getElementById('scroller').getBoundingClientRect().bottom));
    // What came too many at a time to be on the screen is unread, until its reader goes there.
    await until('all is read', async () => {
        await phone.page.evaluate(() => document.querySelector('#items .unread')?.scrollIntoView());
        return await phone.figure('unread') === 0;
    });
    await phone.page.locator('#scroller').evaluate((scroller) => { scroller.scrollTop = 0; });
    await phone.page.locator('#jump').waitFor();

    await server.pushAll('alice', ['new', 'newer']);
    await phone.shows('newer');
    assert.equal(await phone.figure('unread'), 2);
    assert.equal(await phone.text('#jump'), '2 unread ↓');
    assert.equal(await phone.page.locator('#scroller').evaluate((scroller) => scroller.scrollTop), 0, 'the reader is not moved');

    await phone.page.click('#jump');
    await title(phone, 'alice · phone');
    await phone.page.locator('#jump').waitFor({ state: 'hidden' });
});

scene('unread stays unread over a reload', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await phone.page.addInitScript(() => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
    });
    await phone.page.reload();
    await phone.reaches('Live');
    await server.push('alice', 'later');
    await phone.shows('later');
    await phone.page.reload();
    await phone.reaches('Live');
    await title(phone, '(1) alice · phone');
});

const HOSTILE = {
    script: '<script>window.hacked = true</script>',
    handler: '<img src=x onerror="window.hacked = true">',
    markup: '</p></li></ol><h1>hacked</h1><!-- &lt;b&gt; &amp;',
    template: '${window.hacked = true} {{7*7}} javascript:alert(1)',
    json: '"}]},{"type":"bye"}\\u0000\\"',
    'right to left': 'שלום עולם \u202e dlrow \u2066مرحبا',
    emoji: '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u{1F9D1}\u{1F3FD}‍🚀',
    'combining marks': `Z${'\u0310\u0323\u0489'.repeat(200)}`,
    'control characters': 'a\u0001\u0007\u001b[31mb\tc\u2028d\u2029e\u0085f\ufeff',
    'line ends': 'one\ntwo\n\n  three',
    'one long word': 'W'.repeat(4000),
    '64 KiB': '<i>ü'.repeat(13_107).padEnd(52_429, '.'),
};
for (const [what, text] of Object.entries(HOSTILE)) {
    scene(`text from outside is shown as text: ${what}`, async (play, server) => {
        const phone = await play.device('alice', 'phone', { viewport: { width: 390, height: 844 } });
        await server.pushAll('alice', [text]);
        await phone.shows(text);
        assert.deepEqual(await phone.messages(), [text]);
        assert.equal(await phone.page.locator('#items .text *').count(), 0, 'no element came of it');
        assert.equal(await phone.page.evaluate(() => window.hacked), undefined);
        assert.ok(await phone.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth
            && document.getElementById('scroller').scrollWidth <= document.getElementById('scroller').clientWidth),
        'nothing is wider than the screen');
    }, { options: ['--max-message', '65536'] });
}

scene('names from outside are shown as text, and mean the same to the page and the server', async (play, server) => {
    const user = '<b>"Ålice" & 100% + אב #?/</b>';
    const device = '\' onload=alert(1) \u202ephone 👩‍🚀';
    const phone = await play.device(user, device);
    assert.equal(await phone.text('#user'), user);
    assert.equal(await phone.text('#device'), device);
    assert.equal(await phone.page.locator('#user *, #device *, #text-label *').count(), 0);
    assert.equal((await server.push(user, 'hello')).delivered, 1);
    await phone.shows('hello');
    assert.equal((await server.push(user, 'not you', { except: device })).delivered, 0);
    const [slowest] = (await server.stats()).slowest;
    assert.deepEqual([slowest.user, slowest.device], [user, device]);
});

scene('a long text is folded, and unfolds', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.pushAll('alice', [numbers(1, 60).join('\n')]);
    const text = phone.page.locator('#items .text');
    const button = phone.page.getByRole('button', { name: 'Show all' });
    await button.waitFor();
    const folded = (await text.boundingBox()).height;
    await button.click();
    assert.ok((await text.boundingBox()).height > 3 * folded);
    await phone.page.getByRole('button', { name: 'Show less', expanded: true }).click();
    assert.equal((await text.boundingBox()).height, folded);
});

scene('the page keeps a bounded number of messages, and says how many it let go', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.pushAll('alice', numbers(1, 420));
    await phone.shows('420');
    assert.deepEqual(await phone.rows(), numbers(121, 420));
    assert.equal(await phone.text('#older'), '120 older messages are no longer shown');
    await phone.page.reload();
    await phone.reaches('Live');
    assert.deepEqual(await phone.rows(), numbers(121, 420));
});

scene('messages too many to keep over a reload are counted, not forgotten in silence', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const large = (count) => count.padEnd(60_000, '.');
    await server.pushAll('alice', numbers(1, 20).map(large));
    await phone.shows(large('20'));
    assert.equal((await phone.messages()).length, 20);
    await phone.page.reload();
    await phone.reaches('Live');
    assert.deepEqual(await phone.messages(), numbers(5, 20).map(large));
    assert.equal(await phone.text('#older'), '4 older messages are no longer shown');
}, { options: ['--max-message', '65536', '--max-bytes', '4194304'] });

scene('new messages and the connection’s state are told to assistive technology', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const told = (text) => until(`it is told: ${text}`, async () => await phone.text('#announcer') === text);
    await told('Live');
    await server.push('alice', 'read me');
    await told('New message: read me');
    await server.pushAll('alice', ['two', 'three', 'four']);
    await until('they are told together', async () => /^\d new messages$|^New message: /.test(await phone.text('#announcer')));
    assert.equal(await phone.page.locator('#announcer').getAttribute('role'), 'status');
});

scene('a server with a token: the page asks for it, and then may push', async (play) => {
    const phone = await play.device('alice', 'phone');
    await phone.page.fill('#text', 'let me in');
    await phone.page.click('#send');
    await phone.page.locator('#token').waitFor();
    assert.equal(await phone.page.inputValue('#text'), 'let me in');
    await phone.page.keyboard.type('wrong');
    await phone.page.keyboard.press('Enter');
    await until('it is refused', async () => await phone.text('#outcome') === 'This server wants a token with a push.');
    await phone.page.fill('#token', 'open sesame');
    await phone.page.click('#send');
    await phone.shows('let me in');
}, { options: ['--token', 'open sesame'], expected: /status of 401/ });

scene('a text that the server refuses stays in the box, and the page says why', async (play) => {
    const phone = await play.device('alice', 'phone');
    const text = '.'.repeat(2000);
    await phone.page.fill('#text', text);
    await phone.page.click('#send');
    await until('it is refused', async () => /^Not sent: .+\.$/.test(await phone.text('#outcome')));
    assert.equal(await phone.page.inputValue('#text'), text);
}, { options: ['--max-message', '1000'], expected: /status of 413/ });

scene('a text that could not be sent stays in the box', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.kill();
    await phone.page.fill('#text', 'still here');
    await phone.page.click('#send');
    await until('it is told', async () => /did not answer/.test(await phone.text('#outcome')));
    assert.equal(await phone.page.inputValue('#text'), 'still here');
    await server.start();
}, { expected: /^WebSocket connection to .* failed|net::ERR_/ });

scene('the form asks for names, and refuses those that the server would', async (play, server) => {
    const page = await play.page();
    await page.goto(`${server.url}/`);
    await page.fill('#start-user', 'ü'.repeat(33));
    await page.fill('#start-device', 'phone');
    await page.keyboard.press('Enter');
    await page.getByText('The user’s name is longer than 64 bytes.').waitFor();
    await page.fill('#start-user', 'ü'.repeat(32));
    await page.keyboard.press('Enter');
    await until('it is connected', async () => await page.textContent('#state') === 'Live');

    await page.goto(server.url + address('/', { user: 'alice', device: 'a\u0001b' }));
    await page.getByText('The device’s name has control characters in it.').waitFor();
    await page.goto(server.url + address('/', { user: 'alice' }));
    assert.equal(await page.inputValue('#start-user'), 'alice');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'start-device');
});

// What has the focus, which must be seen to have it.
const focused = (page) => page.evaluate(() => {
    const element = document.activeElement;
    const style = getComputedStyle(element);
    const { width, height } = element.getBoundingClientRect();
    return {
        name: element.id || element.getAttribute('href') || element.textContent.trim(),
        visible: style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2 && width > 0 && height > 0,
    };
});

async function tabThrough(page, count) {
    const names = [];
    for (let step = 0; step < count; step++) {
        await page.keyboard.press('Tab');
        const { name, visible } = await focused(page);
        assert.ok(visible, `the focus on ${name} is visible`);
        names.push(name);
    }
    return names;
}

scene('everything can be done by the keyboard alone, in an order that makes sense', async (play, server) => {
    const page = await play.page({ viewport: { width: 390, height: 844 } });
    await page.goto(`${server.url}/`);
    await until('the form has the focus', async () => (await focused(page)).name === 'start-user');
    await page.keyboard.type('alice');
    await page.keyboard.press('Tab');
    await page.keyboard.type('phone');
    await page.keyboard.press('Enter');
    await until('it is connected', async () => await page.textContent('#state') === 'Live');

    assert.deepEqual(await tabThrough(page, 7), ['#text', '/', 'details-button', 'scroller', 'text', 'send', 'except']);
    await page.focus('#text');
    await page.keyboard.type('one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('two');
    await page.keyboard.press('Enter');
    await until('it arrived', async () => (await page.locator('#items .text').allTextContents()).includes('one\ntwo'));
    assert.equal((await focused(page)).name, 'text', 'one can go on writing');

    await page.focus('#details-button');
    await page.keyboard.press('Enter');
    await page.locator('#details').waitFor();
    await page.focus('#copy');
    await page.keyboard.press('Escape');
    await page.locator('#details').waitFor({ state: 'hidden' });
    assert.equal((await focused(page)).name, 'details-button', 'the focus is not lost');
});

scene('the skip link leads to the message box', async (play) => {
    const phone = await play.device('alice', 'phone');
    await phone.page.keyboard.press('Tab');
    await phone.page.keyboard.press('Enter');
    await phone.page.keyboard.type('skipped');
    assert.equal(await phone.page.inputValue('#text'), 'skipped');
});
