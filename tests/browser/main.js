// All tests, in one browser.
import './delivery.js';
import './outage.js';
import './inbox.js';
import './admin.js';
import './looks.js';
