"""What Bokeh's controls lack: names for screen readers, keys, text that stays, limits of files."""

import param
from panel.custom import JSComponent

_NAME_ALL = """
const walk = (root, visit) => {
  for (const element of root.querySelectorAll('*')) {
    visit(element);
    if (element.shadowRoot) walk(element.shadowRoot, visit);
  }
};
const put = (element, name, value) => {
  if (value && element.getAttribute(name) !== value) element.setAttribute(name, value);
};
const keepText = (input) => {  // what is being typed is not replaced by an answer of the server
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
  let typing = false;
  const stop = () => { typing = false; };
  for (const event of ['input', 'change', 'focusout', 'wheel']) {
    input.addEventListener(event, stop, true);  // before Bokeh, which may set the text
  }
  input.addEventListener('keydown', ({ key }) => /^(Arrow|Page)/.test(key) && stop(), true);
  input.getRootNode().addEventListener('mousedown', stop, true);
  input.addEventListener('input', () => { typing = true; });
  Object.defineProperty(input, 'value', {
    get() { return get.call(this); },
    set(text) { if (!typing) set.call(this, text); },
  });
};
const name = (element, model) => {
  const kind = element.classList;
  if (kind.contains('noUi-handle')) {
    const title = element.getRootNode().querySelector('.bk-slider-title')?.textContent ?? '';
    const cut = title.lastIndexOf(':');
    const end = kind.contains('noUi-handle-lower') && element.getRootNode()
      .querySelectorAll('.noUi-handle').length > 1 ? ', lower end'
      : kind.contains('noUi-handle-upper') ? ', upper end' : '';
    put(element, 'aria-label', title.slice(0, cut).trim() + end);
    put(element, 'aria-valuetext', title.slice(cut + 1).trim());
  } else if (kind.contains('bk-spin-btn')) {
    const label = element.getRootNode().querySelector('label')?.textContent.trim();
    put(element, 'aria-label', (kind.contains('bk-spin-btn-up') ? 'more: ' : 'less: ') + label);
  } else if (kind.contains('bk-btn')) {
    const group = element.closest('.bk-btn-group');
    const single = element.getRootNode().host?.classList.contains('bk-Toggle');
    if (element.querySelector('a') && !element.dataset.forwards) {
      element.dataset.forwards = 'yes';  // Panel reacts to clicks on the link in it, not to keys
      element.addEventListener('click', (event) => {
        if (event.target === element) element.querySelector('a').click();
      });
    }
    const turns = single || group?.children.length > 1;
    if (turns) put(element, 'aria-pressed', String(kind.contains('bk-active')));
  } else if (kind.contains('bk-events')) {
    if (element.tabIndex === 0) element.tabIndex = -1;  // a figure takes no keys
  } else if (kind.contains('bk-OnOffButton') || kind.contains('bk-ClickButton')) {
    put(element, 'role', 'button');
    put(element, 'aria-label', element.title);
    if (kind.contains('bk-OnOffButton')) {
      put(element, 'aria-pressed', String(kind.contains('bk-active')));
    }
  } else if (element.type === 'text' && kind.contains('bk-input')) {
    if (!element.dataset.kept) keepText(element);
    element.dataset.kept = 'yes';
  } else if (element.type === 'file') {
    const label = element.getRootNode().querySelector('label')?.textContent.trim();
    put(element, 'aria-label', label || 'File to upload');
    if (!element.dataset.limited) {
      element.dataset.limited = 'yes';  // a file beyond what the connection takes would end it
      element.addEventListener('change', (event) => {
        const file = element.files[0];
        if (!file || file.size <= model.most_bytes) return;
        event.stopImmediatePropagation();
        element.value = '';
        model.send_msg({ name: file.name, size: file.size });
      }, true);
    }
  }
};
export function render({ model, el }) {
  const timer = setInterval(() => {
    if (!el.isConnected) return;
    let top = el;
    while (top.getRootNode().host) top = top.getRootNode().host;
    if (top.shadowRoot) walk(top.shadowRoot, (element) => name(element, model));
  }, 500);
  model.on('remove', () => clearInterval(timer));
}
"""


class ControlNames(JSComponent):
    """Invisible; names controls, marks pressed buttons, lets keys press all of them.

    Text that is being typed stays, whatever the server sends meanwhile. A file of more than
    ``most_bytes`` is not sent; a message with its ``name`` and ``size`` is.
    """

    most_bytes = param.Integer(0, doc="Of a file to upload")

    _esm = _NAME_ALL
