// Swagger UI has colours for the dark, and takes them by this class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const inColour = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", inColour);
inColour();

// What Swagger UI shows differently here.
function inOurWay({ React, specSelectors }) {
  const h = React.createElement;
  return {
    wrapComponents: {
      // The introduction is long, and stands before everything else: it is folded.
      InfoContainer: (Original) => (props) =>
        h("details", { className: "about" }, h("summary", null, `About version ${specSelectors.version()}: roles, errors, lists, safe repeats`), h(Original, props)),
      // What a refusal looks like is shown when it is asked for: it is much the same everywhere.
      response: (Original, { getComponent }) => (props) => {
        const [open, setOpen] = React.useState(false);
        if (props.code < "400") return h(Original, props);
        const row = h("tr", { className: "response refusal" },
          h("td", { className: "response-col_status" }, props.code),
          h("td", { className: "response-col_description" },
            h(getComponent("Markdown", true), { source: props.response.get("description") }),
            h("button", { type: "button", "aria-expanded": open, onClick: () => setOpen(!open) }, "Example and headers")));
        return h(React.Fragment, null, row, open && h(Original, props));
      },
      // The words of the reference lead to the operations that they name.
      Markdown: (Original) => (props) => h(Original, { ...props, source: linked(props.source) }),
    },
    statePlugins: {
      // Swagger UI itself would leave what the page's address names below the bar.
      layout: { wrapActions: { scrollToElement: () => (element) => element.scrollIntoView() } },
      // The dialog of Authorize has a button for this too.
      auth: { wrapActions: { logout: (original) => (names) => (token ? logOut() : original(names)) } },
    },
  };
}

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  validatorUrl: null, // nothing leaves this server
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  defaultModelRendering: "example",
  docExpansion: "list",
  plugins: [inOurWay],
  onComplete: () => show(""),
  responseInterceptor: (response) => {
    if (token && response.status === 401 && response.obj?.errors?.authorization) leave(response.obj.errors);
    return response;
  },
});

function linked(text) {
  return text?.replace(/`(GET|POST|PUT|PATCH|DELETE) (\/[^ `]*)`/g, (word, method, path) => {
    const operation = ui.specSelectors.specJson().getIn(["paths", path, method.toLowerCase()]);
    return operation ? `[${word}](#/${encodeURIComponent(operation.getIn(["tags", 0]))}/${operation.get("operationId")})` : word;
  });
}

// Swagger UI follows such a link only when the page is opened.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#/"]:not(.nostyle)');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  link.closest(".dialog-ux")?.querySelector(".close-modal").click();
  const hash = link.getAttribute("href");
  const [, tag, operation] = hash.split("/").map(decodeURIComponent);
  ui.layoutActions.show(["operations-tag", tag], true);
  if (operation) ui.layoutActions.show(["operations", tag, operation], true);
  requestAnimationFrame(() => {
    const mark = document.querySelector(`#reference a.nostyle[href="${CSS.escape(hash)}"]`);
    mark.closest(".opblock, .opblock-tag").scrollIntoView();
    (mark.closest("button") || mark).focus({ preventScroll: true });
  });
});

// A login of one's own for what is tried out. The token is in memory alone, and gone with the page.
const form = document.querySelector("#session form");
const inside = document.getElementById("inside");
const { email, password, code } = form.elements;
let token = "";

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    return JSON.parse((await response.text()) || "{}");
  } catch {
    return { errors: { server: ["The server cannot be reached"] } };
  }
}

// tell shows the sentences of a refusal, and at which fields it is.
function tell(errors = {}) {
  document.getElementById("failure").textContent = Object.values(errors).flat().join(". ");
  for (const field of [email, password, code]) field.setAttribute("aria-invalid", field.name in errors);
}

function show(name) {
  form.hidden = name !== "";
  inside.hidden = name === "";
  inside.querySelector("strong").textContent = name;
  document.getElementById("who").textContent = name || "Log in";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  const { errors, accessToken } = await call("POST", "auth/login", { email: email.value, password: password.value, code: code.value });
  button.disabled = false;
  tell(errors);
  if (errors) {
    if (errors.code) code.parentElement.hidden = false;
    (form.querySelector('[aria-invalid="true"]') ?? password).focus();
    return;
  }
  token = accessToken;
  ui.preauthorizeApiKey("accessToken", token);
  const me = await call("GET", "users/me");
  show(me.errors ? email.value : `${me.firstName} ${me.lastName} (${me.role})`);
  form.reset();
  code.parentElement.hidden = true;
  inside.querySelector("p").focus();
});

inside.querySelector("button").addEventListener("click", async () => {
  await logOut();
  if (!token) email.focus();
});

async function logOut() {
  const { errors } = await call("POST", "auth/logout");
  if (errors && !errors.authorization) tell(errors);
  else leave();
}

function leave(errors) {
  token = "";
  ui.authActions.logout(["accessToken"]);
  show("");
  tell(errors);
}
