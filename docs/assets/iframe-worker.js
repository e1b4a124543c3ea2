/* Search in pages that were opened as files: browsers allow no Worker there, so its script runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inside = this.frame.contentDocument
      inside.open()
      inside.write("<!doctype html><body><script>" +
        "postMessage = data => parent.postMessage(data, '*');" +
        "importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise(resolve => {" +
        "const script = document.createElement('script'); script.src = url; script.onload = resolve;" +
        "document.body.appendChild(script) })), Promise.resolve())" +
        "</" + "script><script src='" + url + "'></" + "script>")
      inside.close()
      this.waiting = []
      this.frame.onload = () => {
        for (const data of this.waiting) this.frame.contentWindow.postMessage(data, "*")
        this.waiting = null
      }
      addEventListener("message", event => {
        if (event.source !== this.frame.contentWindow) return
        const found = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(found)
        if (this.onmessage) this.onmessage(found)
      })
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.frame.contentWindow.postMessage(data, "*")
    }
    terminate() { this.frame.remove() }
  }
}
