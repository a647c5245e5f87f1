-- HAProxy itself can delay an answer only if it refuses the request.
core.register_action("wait_three_seconds", {"http-req"}, function() core.msleep(3000) end)
