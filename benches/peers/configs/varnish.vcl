vcl 4.1;

backend default {
  .host = "127.0.0.1";
  .port = "@BACKEND_PORT@";
}

# As nginx and Banyan are told: cookies are no part of the key.
sub vcl_recv {
  if (req.url ~ "^/kept/") {
    unset req.http.cookie;
  }
}
